//! What is done to a shop, a file per family. A strike does it, undoes it, and notes each injection.

pub mod members;
pub mod mixed;
pub mod network;
pub mod poison;
pub mod programs;
pub mod races;
pub mod records;
pub mod servers;
pub mod steps;
pub mod thousand;
pub mod time;

//! Checks of the running system and of its contract; never shipped, and nothing depends on it.
//!
//! Owns the demo, the fault suite and the fuzzer with their independent check, and the check of the GraphQL contract. Shares no code with the programs but
//! the drivers: what it finds out, it finds out by itself.

pub mod chaos;
pub mod check;
pub mod client;
pub mod clock;
pub mod demo;
pub mod fuzz;
pub mod host;
pub mod live;
pub mod programs;
pub mod schema;
pub mod site;
pub mod stage;

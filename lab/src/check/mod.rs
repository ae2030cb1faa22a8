//! The independent check: compares what `MySQL`, the topics, the views and the clients say about the same orders.
//!
//! Owns reading ([`read`]), judging ([`judge`]) and the faults that show that the judging works ([`plant`]). Never uses the
//! programs' code, and never writes, but for a planted fault.
//!
//! To add a rule: 1. what it needs in [`evidence`], read in [`read`], 2. a function in [`judge`], 3. a fault that it names in
//! `tests/it/judge`.

pub mod evidence;
pub mod judge;
pub mod plant;
pub mod quiet;
pub mod read;
pub mod violation;

pub use evidence::{Clients, Evidence, Kind};
pub use violation::Violation;

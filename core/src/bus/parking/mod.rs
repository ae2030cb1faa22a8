//! Records that failed, and what waits behind them: kept in MySQL, key by key and in order, until they are handled or somebody
//! decides.
//!
//! [`Ledger`] says which keys are closed, what is due and what follows from a try; it is pure, so that a simulation can drive it. [`Retry`] says how
//! often and when. `Lot` is the ledger with the table `parked_records` under it: what the ledger knows is stored first. Whoever has
//! a partition has what is parked of it: it is read once, when the partition is taken over. What an operator changes in the table is
//! noticed within a second.

mod ledger;
mod lot;
mod retry;

pub use ledger::{Due, Failed, Lane, Ledger, Parked, State};
pub(super) use lot::Lot;
pub use retry::Retry;

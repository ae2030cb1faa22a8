//! The fault suite: the shop's programs on servers of its own, everything that can go wrong with them, and the independent
//! check after each fault. Then guards are left out, one at a time, to show that the check would see it.
//!
//! [`table`] lists what happens. A fault is a strike in [`faults`], repeated under load; `trial` heals, waits until it is
//! quiet, and checks. Chance comes from a seed, which is printed.

mod back;
mod cause;
mod control;
pub mod faults;
mod options;
mod proxies;
mod report;
mod run;
pub mod scene;
pub mod servers;
pub mod table;
mod trial;

pub use options::Options;
pub use run::chaos;

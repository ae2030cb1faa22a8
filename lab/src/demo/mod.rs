//! The demo: orders through real clients, on a shop of their own, then the independent check.
//!
//! Owns the scenarios and what is measured. To add a scenario: 1. a file, 2. its line in `options.rs`, 3. its call in `run.rs`.

mod catalogue;
mod figures;
mod journey;
mod kill;
mod load;
mod options;
mod pause;
mod progress;
mod race;
mod reader;
mod report;
mod run;

pub use options::Options;
pub use run::demo;

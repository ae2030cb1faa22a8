//! The demo: orders through real clients, on a shop of their own, then the independent check.
//!
//! Owns the scenarios and what is measured. To add a scenario: 1. a file, 2. its line in `options.rs`, 3. its call in `run.rs`.

mod fresh;
mod journey;
mod kill;
mod options;
mod pause;
mod race;
mod rebuild;
mod report;
mod run;

pub use options::Options;
pub use run::demo;

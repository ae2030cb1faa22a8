//! Thousands of subscribers at several copies of the API, while copies are killed and rolled, while one client
//! reads nothing, and while tokens run out.
//!
//! Owns the subscribers and what they are owed; the stages' clients take the orders along. To add a scenario: 1. a file,
//! 2. its line in `options.rs`, 3. its call in `run.rs`.

mod board;
mod crowd;
mod deaf;
mod driver;
pub mod goal;
mod judge;
mod kill;
mod lapse;
mod memory;
mod options;
mod pass;
mod report;
mod roll;
mod run;
mod scene;
mod slow;
mod spread;
mod subscriber;
mod tokens;
mod truth;

pub use options::Options;
pub use run::live;

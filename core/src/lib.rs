//! The room behind both doors, `api` and `consumers`: rules, events, commands, views, bus and run time.
//!
//! `domain` and `events` are pure and build alone (`--no-default-features`); feature `io` adds what talks to servers, and
//! `testkit` the fixtures of the integration tests.

pub mod domain;
pub mod events;

#[cfg(feature = "io")]
pub mod bus;
#[cfg(feature = "io")]
pub mod commands;
#[cfg(feature = "io")]
pub mod db;
#[cfg(feature = "io")]
pub mod runtime;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(feature = "io")]
pub mod views;

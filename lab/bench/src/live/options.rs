//! What a run does, from the environment, and whether this machine lets it.

use anyhow::{Context as _, ensure};
use shop_lab::site;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `SUBSCRIBERS`: how many there are at once.
    pub subscribers: usize,
    /// `ROUNDS`: how often everything is measured; medians are told.
    pub rounds: usize,
}

impl Options {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a value is no number, or 0; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        let number = |name: &str, default: usize| -> anyhow::Result<usize> {
            let Some(value) = site::variable(name) else {
                return Ok(default);
            };
            let number = value.parse().ok().filter(|number| *number > 0);
            number.with_context(|| format!("{name}={value}: expected a whole number from 1 on"))
        };
        let subscribers = number("SUBSCRIBERS", 10_000)?;
        ensure!(
            subscribers <= super::SOCKETS,
            "SUBSCRIBERS={subscribers}: expected {} at most",
            super::SOCKETS
        );
        Ok(Self {
            subscribers,
            rounds: number("ROUNDS", 3)?,
        })
    }
}

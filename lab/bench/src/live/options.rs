//! What a run does, from the environment, and whether this machine lets it.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use shop_lab::site;

/// Files that a process has open besides its sockets, at most.
const FILES_BESIDES: u64 = 500;

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

    /// Allows this process, and those that it starts, as many open files as the system lets them have.
    pub(super) fn raise_limit(&self) -> anyhow::Result<()> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("failed to raise the limit of open files")?;
        let needed = u64::try_from(self.subscribers)? + FILES_BESIDES;
        let allowed = limit.maximum.unwrap_or(u64::MAX);
        ensure!(
            allowed >= needed,
            "a process may open {allowed} files here (ulimit -Hn), and {} subscribers need {needed}: \
             allow more, or set SUBSCRIBERS",
            self.subscribers
        );
        Ok(())
    }
}

//! What a run does, from the environment.

use std::time::Duration;

use anyhow::ensure;
use shop_lab::site;

/// How long a storm lasts unless it is said.
const SECONDS: u64 = 60;
/// How long it lasts at most: all of a run is to be over before an order that nobody pays is called off.
const MOST: u64 = 600;
/// So many times as long lasts a storm as each step on the way to the peak.
const STEPS: u32 = 4;
/// How long the calm before and after a storm is looked at, at most.
const CALM: u64 = 15;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `SECONDS`: how long a storm lasts.
    pub storm: Duration,
}

impl Options {
    /// Reads the environment.
    ///
    /// # Errors
    /// If `SECONDS` is no number, or makes no sense; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(site::variable)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let seconds = site::whole(variable, "SECONDS")?.unwrap_or(SECONDS);
        ensure!(
            (5..=MOST).contains(&seconds),
            "SECONDS={seconds}: expected 5 to {MOST}"
        );
        let storm = Duration::from_secs(seconds);
        Ok(Self { storm })
    }

    /// How long each number of clients is looked at.
    pub(super) fn step(&self) -> Duration {
        self.storm / STEPS
    }

    /// How long the calm is looked at.
    pub(super) fn calm(&self) -> Duration {
        self.storm.min(Duration::from_secs(CALM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seconds: Option<&str>) -> anyhow::Result<Options> {
        Options::read(|_| seconds.map(str::to_owned))
    }

    #[test]
    fn a_short_storm_has_short_steps() {
        let (long, short) = (read(None).expect("60"), read(Some("10")).expect("10"));
        assert_eq!((long.step().as_secs(), long.calm().as_secs()), (15, 15));
        assert_eq!(
            (short.step().as_millis(), short.calm().as_secs()),
            (2_500, 10)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for seconds in ["0", "4", "601", "many", "-1"] {
            let error = read(Some(seconds)).expect_err(seconds);
            assert!(error.to_string().contains("SECONDS"), "{error}");
        }
    }
}

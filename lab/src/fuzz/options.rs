//! What a run does, from the environment.

use std::time::Duration;

use anyhow::ensure;

use crate::site;

/// How long a run lasts unless it is said.
const MINUTES: u64 = 10;
/// How long the API is warmed up, at most.
const WARM_UP: Duration = Duration::from_mins(1);

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `MINUTES`: how long.
    pub lasting: Duration,
    /// `SEED`: what all cases are made from.
    pub seed: u64,
    /// `CASE`: the only case to run, if it is set.
    pub case: Option<u64>,
}

impl Options {
    /// Reads the environment; without a seed there is one by chance.
    ///
    /// # Errors
    /// If a value is no number, or makes no sense; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(site::variable)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let number = |name: &str| site::whole::<u64>(&variable, name);
        let minutes = number("MINUTES")?.unwrap_or(MINUTES);
        ensure!(
            (1..=24 * 60).contains(&minutes),
            "MINUTES={minutes}: expected 1 to 1440"
        );
        let (seed, case) = (number("SEED")?, number("CASE")?);
        ensure!(
            case.is_none() || seed.is_some(),
            "CASE is one of a SEED: set that too"
        );
        Ok(Self {
            lasting: Duration::from_mins(minutes),
            seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            case,
        })
    }

    /// How long the API is warmed up, of all the time.
    pub fn warm_up(&self) -> Duration {
        WARM_UP.min(self.lasting / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Options> {
        Options::read(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_seed_is_kept_and_a_short_run_warms_up_shortly() {
        let options = read(&[("SEED", "7"), ("MINUTES", "1"), ("CASE", "9")]).expect("good");
        assert_eq!((options.seed, options.case), (7, Some(9)));
        assert_eq!(options.warm_up(), Duration::from_secs(15));
        assert_eq!(read(&[]).expect("defaults").warm_up(), WARM_UP);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (variables, expected) in [
            (&[("MINUTES", "0")][..], "MINUTES=0"),
            (&[("SEED", "x")], "SEED=x"),
            (&[("CASE", "1")], "SEED"),
        ] {
            let error = read(variables).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

//! What a run does, from the environment.

use std::time::Duration;

use anyhow::bail;

use crate::site;

/// Tokens of five seconds run out three times within so many.
const SEVERAL_LIVES: u64 = 15;

/// Which scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `KILL=1`: copies of the API are killed one after the other; then a control whose subscribers come back without a cursor.
    Kill,
    /// `ROLL=1`: copies of the API are asked to stop one after the other, as a deploy does.
    Roll,
    /// `SLOW=1`: rounds with and without a client that reads nothing.
    Slow,
    /// `TOKENS=1`: tokens run out, of some that renew them and of some that do not.
    Tokens,
}

impl Mode {
    /// The word of reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Roll => "roll",
            Self::Slow => "slow",
            Self::Tokens => "tokens",
        }
    }

    const fn subscribers(self) -> usize {
        match self {
            Self::Kill | Self::Slow => 1_000,
            Self::Roll => 2_000,
            Self::Tokens => 200,
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Kill | Self::Tokens => 60,
            Self::Roll => 40,
            Self::Slow => 12,
        }
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Which scenario.
    pub mode: Mode,
    /// `SUBSCRIBERS`: how many there are, each of one order.
    pub subscribers: usize,
    /// `SECONDS`: how long a killed copy stays away, how long from one roll to the next, how long a round takes, or how long
    /// tokens are renewed.
    pub every: Duration,
}

impl Options {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a value is no number, or two scenarios are asked for; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(site::variable)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let number = |name: &str| site::whole::<u64>(&variable, name);
        let mut modes = Vec::new();
        for (name, mode) in [
            ("KILL", Mode::Kill),
            ("ROLL", Mode::Roll),
            ("SLOW", Mode::Slow),
            ("TOKENS", Mode::Tokens),
        ] {
            if number(name)?.unwrap_or(0) > 0 {
                modes.push(mode);
            }
        }
        if modes.len() > 1 {
            bail!("KILL, ROLL, SLOW and TOKENS are scenarios of their own: set one of them");
        }
        let mode = modes.pop().unwrap_or(Mode::Kill);
        let subscribers = site::whole(&variable, "SUBSCRIBERS")?.unwrap_or(mode.subscribers());
        let seconds = number("SECONDS")?.unwrap_or(mode.seconds());
        if subscribers < 2 || seconds == 0 {
            bail!("SUBSCRIBERS must be at least 2, SECONDS at least 1");
        }
        if mode == Mode::Tokens && seconds < SEVERAL_LIVES {
            bail!("SECONDS must be at least {SEVERAL_LIVES}, so that tokens run out several times");
        }
        Ok(Self {
            mode,
            subscribers,
            every: Duration::from_secs(seconds),
        })
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
    fn without_variables_copies_are_killed_for_a_minute_each() {
        let options = read(&[("ROLL", "0")]).expect("defaults");
        assert_eq!(
            (options.mode, options.subscribers, options.every),
            (Mode::Kill, 1_000, Duration::from_mins(1))
        );
    }

    #[test]
    fn a_variable_chooses_the_scenario_and_its_figures() {
        let roll = read(&[("ROLL", "1")]).expect("roll");
        assert_eq!((roll.mode, roll.subscribers), (Mode::Roll, 2_000));
        let slow = read(&[("SLOW", "1"), ("SUBSCRIBERS", "7"), ("SECONDS", "3")]).expect("slow");
        assert_eq!((slow.mode, slow.subscribers), (Mode::Slow, 7));
        assert_eq!(slow.every, Duration::from_secs(3));
        let tokens = read(&[("TOKENS", "1")]).expect("tokens");
        assert_eq!((tokens.mode, tokens.subscribers), (Mode::Tokens, 200));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (variables, expected) in [
            (&[("SUBSCRIBERS", "many")][..], "SUBSCRIBERS=many"),
            (&[("SUBSCRIBERS", "1")], "SUBSCRIBERS"),
            (&[("SECONDS", "0")], "SECONDS"),
            (&[("TOKENS", "1"), ("SECONDS", "9")], "SECONDS"),
            (&[("KILL", "1"), ("ROLL", "1")], "set one"),
        ] {
            let error = read(variables).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

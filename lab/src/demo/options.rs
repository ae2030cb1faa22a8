//! What a run does, from the environment: `make demo ORDERS=200 KILL=1` sets variables, not arguments.

use anyhow::bail;

use crate::site;

/// Which scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Orders delivered, rejected, canceled and left unpaid; then `orders` of them one at a time, for the figures.
    Journey,
    /// `KILL=1`: every program is killed three times while orders are in flight.
    Kill,
    /// `RACE=n`: buyers at once for fewer units than they want, n times.
    Race(usize),
    /// `PAUSE=1`: two relays; the one that sends is stopped for ten seconds under load.
    Pause,
    /// `FRESH=n`: n orders, each read back at once with `minVersion`, while a projector is killed now and then.
    Fresh(usize),
    /// `REBUILD=1`: the views of a shop with `orders` orders are rebuilt under load.
    Rebuild,
}

impl Mode {
    /// The word of reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journey => "journey",
            Self::Kill => "kill",
            Self::Race(_) => "race",
            Self::Pause => "pause",
            Self::Fresh(_) => "fresh",
            Self::Rebuild => "rebuild",
        }
    }
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which scenario.
    pub mode: Mode,
    /// `ORDERS`: how many orders, at least.
    pub orders: usize,
    /// `BUYERS`: how many of them in a race.
    pub buyers: usize,
    /// `UNITS`: how many units there are in a race.
    pub units: usize,
    /// `PLANT=1`: two faults are planted before the check, which must find them.
    pub plant: bool,
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
        let number = |name: &str, default: usize| -> anyhow::Result<usize> {
            Ok(site::whole(&variable, name)?.unwrap_or(default))
        };
        let mut modes = Vec::new();
        if number("KILL", 0)? > 0 {
            modes.push(Mode::Kill);
        }
        if number("PAUSE", 0)? > 0 {
            modes.push(Mode::Pause);
        }
        match number("RACE", 0)? {
            0 => {}
            times => modes.push(Mode::Race(times)),
        }
        match number("FRESH", 0)? {
            0 => {}
            orders => modes.push(Mode::Fresh(orders)),
        }
        if number("REBUILD", 0)? > 0 {
            modes.push(Mode::Rebuild);
        }
        if modes.len() > 1 {
            bail!(
                "KILL, PAUSE, RACE, FRESH and REBUILD are scenarios of their own: set one of them"
            );
        }
        let options = Self {
            mode: modes.pop().unwrap_or(Mode::Journey),
            orders: number("ORDERS", 200)?,
            buyers: number("BUYERS", 50)?,
            units: number("UNITS", 20)?,
            plant: number("PLANT", 0)? > 0,
        };
        if options.orders == 0 || options.units == 0 || options.buyers < options.units {
            bail!("ORDERS and UNITS must be at least 1, BUYERS at least UNITS");
        }
        Ok(options)
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
    fn without_variables_two_hundred_orders_make_their_journey() {
        let options = read(&[("KILL", "0")]).expect("defaults");
        assert_eq!(
            (options.mode, options.orders, options.plant),
            (Mode::Journey, 200, false)
        );
    }

    #[test]
    fn a_variable_chooses_the_scenario() {
        assert_eq!(read(&[("KILL", "1")]).expect("kill").mode, Mode::Kill);
        assert_eq!(read(&[("RACE", "20")]).expect("race").mode, Mode::Race(20));
        assert_eq!(read(&[("FRESH", "9")]).expect("fresh").mode, Mode::Fresh(9));
        assert_eq!(
            read(&[("REBUILD", "1")]).expect("rebuild").mode,
            Mode::Rebuild
        );
        assert!(read(&[("PLANT", "1")]).expect("plant").plant);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (variables, expected) in [
            (&[("ORDERS", "many")][..], "ORDERS=many"),
            (&[("ORDERS", "0")], "ORDERS"),
            (&[("KILL", "1"), ("RACE", "1")], "set one"),
            (&[("BUYERS", "5"), ("UNITS", "6")], "BUYERS"),
        ] {
            let error = read(variables).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

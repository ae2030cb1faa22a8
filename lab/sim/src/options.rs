//! What `make sim` was asked for: variables, as with every target.

use anyhow::{Context as _, bail};

use crate::fault::{Fault, Faults};
use crate::plant::Plant;
use crate::run::Plan;

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    /// `SEED=n`: one run. `TRACE=1` prints its steps.
    One {
        /// The run.
        plan: Plan,
        /// Whether its steps are printed.
        trace: bool,
    },
    /// `SEEDS=n`: so many runs; then every mistake planted, or the one that `PLANT` names.
    Many {
        /// How many.
        seeds: u64,
        /// Only this one, planted.
        plant: Option<Plant>,
    },
}

impl Options {
    /// Reads variables.
    ///
    /// # Errors
    /// If a value makes no sense; the message names it.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str| -> anyhow::Result<Option<u64>> {
            let Some(value) = variable(name) else {
                return Ok(None);
            };
            let number = value
                .parse()
                .with_context(|| format!("{name}={value}: expected a whole number"))?;
            Ok(Some(number))
        };
        let plant = match variable("PLANT") {
            None => None,
            Some(word) => Some(Plant::from_word(&word).with_context(|| {
                let words: Vec<_> = Plant::ALL.into_iter().map(Plant::as_str).collect();
                format!("PLANT={word}: expected one of {}", words.join(", "))
            })?),
        };
        let faults = variable("FAULTS").map(|words| faults(&words)).transpose()?;
        let steps = number("STEPS")?
            .map(usize::try_from)
            .transpose()
            .context("STEPS: too many")?;
        if let Some(seed) = number("SEED")? {
            let plan = Plan {
                seed,
                plant,
                faults,
                steps,
            };
            let trace = number("TRACE")?.unwrap_or(0) > 0;
            return Ok(Self::One { plan, trace });
        }
        if faults.is_some() || steps.is_some() {
            bail!("FAULTS and STEPS go with a SEED");
        }
        let seeds = number("SEEDS")?.unwrap_or(1_000);
        if seeds == 0 {
            bail!("SEEDS=0: expected at least 1");
        }
        Ok(Self::Many { seeds, plant })
    }
}

fn faults(words: &str) -> anyhow::Result<Faults> {
    let named = words.split(',').filter(|word| *word != "none");
    named
        .map(|word| {
            Fault::from_word(word).with_context(|| {
                let words: Vec<_> = Fault::ALL.into_iter().map(Fault::as_str).collect();
                format!(
                    "FAULTS={word}: expected none, or some of {}",
                    words.join(",")
                )
            })
        })
        .collect()
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
    fn what_reproduces_a_run_is_read_as_that_run() {
        let plan = Plan {
            seed: 7,
            plant: Some(Plant::ReadFirst),
            faults: Some([Fault::Crash, Fault::Tail].into_iter().collect()),
            steps: Some(12),
        };
        let line = plan.to_string();
        let words = line.split(' ').filter_map(|word| word.split_once('='));
        let variables: Vec<(&str, &str)> = words.collect();
        assert_eq!(variables.len(), 4);
        let options = read(&variables).expect("it is good");
        assert_eq!(options, Options::One { plan, trace: false });
        let none = Plan {
            faults: Some([].into_iter().collect()),
            ..plan
        };
        assert!(none.to_string().contains("FAULTS=none"));
        assert!(read(&[("SEED", "1"), ("FAULTS", "none")]).is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (variables, expected) in [
            (&[("SEEDS", "many")][..], "SEEDS=many"),
            (&[("SEEDS", "0")], "SEEDS=0"),
            (&[("PLANT", "tree")], "PLANT=tree"),
            (&[("SEED", "1"), ("FAULTS", "crash,fire")], "FAULTS=fire"),
            (&[("STEPS", "3")], "SEED"),
        ] {
            let error = read(variables).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

//! What a run of the suite does, from the environment: `make chaos LONG=1 SEED=7` sets variables, not arguments.

use crate::site;

/// What a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `SEED`: what the faults are drawn from.
    pub seed: u64,
    /// `LONG=1`: half an hour instead of a few minutes.
    pub long: bool,
    /// `SLOWER`: how many times as long as on a machine of its own a program may take to be back at work.
    pub slower: f64,
    /// `ONLY`: words, one of which a fault's or control's name must have; empty for all.
    pub only: Vec<String>,
}

impl Options {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a value is no number; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        Self::read(site::variable)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let number = |name: &str| site::whole::<u64>(&variable, name);
        let only = variable("ONLY").unwrap_or_default();
        Ok(Self {
            seed: number("SEED")?.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            long: number("LONG")?.unwrap_or(0) > 0,
            slower: f64::from(site::whole::<u32>(&variable, "SLOWER")?.unwrap_or(1).max(1)),
            only: only
                .split(',')
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect(),
        })
    }

    /// Whether something of this name is asked for; what takes long must be asked for by name, or by `LONG`.
    pub fn wants(&self, name: &str, takes_long: bool) -> bool {
        if self.only.is_empty() {
            return self.long || !takes_long;
        }
        self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// The line that repeats this run's faults.
    pub fn again(&self) -> String {
        let long = if self.long { " LONG=1" } else { "" };
        format!("make chaos{long} SEED={}", self.seed)
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
    fn variables_choose_and_nonsense_is_named() {
        let options = read(&[("SEED", "7"), ("LONG", "1"), ("ONLY", "kafka, late")]).expect("fine");
        assert_eq!((options.seed, options.long, options.slower), (7, true, 1.0));
        assert!(options.wants("kafka killed", false) && options.wants("late commit", true));
        assert!(!options.wants("mysql killed", false));
        assert_eq!(options.again(), "make chaos LONG=1 SEED=7");
        let defaults = read(&[]).expect("defaults");
        assert!(defaults.wants("anything", false) && !defaults.wants("anything", true));
        let error = read(&[("SEED", "x")]).expect_err("no number");
        assert!(error.to_string().contains("SEED=x"));
    }
}

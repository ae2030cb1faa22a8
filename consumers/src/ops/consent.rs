//! What the operator agreed to.

use std::io::{BufRead, Write};

use super::OpsError;

/// The flags that every verb understands.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Consent {
    /// Does not ask before something is destroyed
    #[arg(long, global = true)]
    pub yes: bool,
    /// Changes nothing; prints what would be done
    #[arg(long, global = true)]
    pub dry_run: bool,
}

impl Consent {
    /// Whether to do something that can be repeated or undone: always, but for a dry run, which prints what would be done.
    ///
    /// In: what is about to be done, as in `try 3 records of key … again`.
    pub fn to_change(self, what: &str) -> bool {
        if self.dry_run {
            println!("would {what}");
        }
        !self.dry_run
    }

    /// Whether to destroy something: asks, unless `--yes` was said; a dry run prints what would be done and asks nothing.
    ///
    /// # Errors
    /// [`OpsError::Refused`] if the answer is not yes; nobody answering is a no.
    pub fn to_destroy(self, what: &str) -> Result<bool, OpsError> {
        self.ask(what, &mut std::io::stdin().lock())
    }

    fn ask(self, what: &str, answers: &mut impl BufRead) -> Result<bool, OpsError> {
        if self.dry_run || self.yes {
            return Ok(self.to_change(what));
        }
        // Standard output is for results, which may be piped on.
        eprint!("{what}? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(true)
        } else {
            Err(OpsError::refused(
                "not confirmed, nothing was changed (--yes does not ask)",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(yes: bool, dry_run: bool, answer: &str) -> Result<bool, OpsError> {
        Consent { yes, dry_run }.ask("drop it", &mut answer.as_bytes())
    }

    #[test]
    fn destroying_wants_a_yes() {
        for answer in ["y\n", "Y\n", "yes\n", " yes"] {
            assert!(ask(false, false, answer).expect("agreed"), "{answer:?}");
        }
        for answer in ["", "\n", "n\n", "no\n", "yeah\n"] {
            assert!(
                matches!(ask(false, false, answer), Err(OpsError::Refused(_))),
                "{answer:?}"
            );
        }
        assert!(ask(true, false, "").expect("agreed before"));
    }

    #[test]
    fn a_dry_run_does_nothing_whatever_was_agreed_to() {
        assert!(!ask(true, true, "y\n").expect("no question"));
        assert!(!ask(false, true, "").expect("no question"));
    }
}

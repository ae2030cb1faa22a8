//! A broken promise.

use std::fmt;

use serde::Serialize;

/// One broken promise: which, about what, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Violation {
    /// The number of the invariant, as `docs/ARCHITECTURE.md` lists them.
    pub invariant: u8,
    /// What it is about: the id of an order, product, user or event.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(invariant: u8, subject: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            invariant,
            subject: subject.to_string(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invariant {}: {}: {}",
            self.invariant, self.subject, self.problem
        )
    }
}

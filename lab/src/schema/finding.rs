//! What was found: one change, and what it means to clients.

use serde::Serialize;

/// What a change means to clients that worked before. The worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// A document or variable that was valid is refused now, or an answer has a form that it could not have.
    Breaking,
    /// Documents stay valid, but a client may meet what it does not expect.
    Dangerous,
    /// No client notices.
    Safe,
}

impl Severity {
    /// The word of reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaking => "BREAKING",
            Self::Dangerous => "DANGEROUS",
            Self::Safe => "SAFE",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// Where: a schema coordinate, such as `Order.status` or `Query.orders(first:)`.
    pub coordinate: String,
    /// What changed.
    pub change: String,
    /// Why that is breaking, dangerous or safe.
    pub reason: &'static str,
}

/// A judgement without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the change means.
    pub severity: Severity,
    /// What changed.
    pub change: String,
    /// Why it means that.
    pub reason: &'static str,
}

impl Verdict {
    /// A judgement: what changed, and why that is breaking, dangerous or safe.
    pub fn new(severity: Severity, change: impl Into<String>, reason: &'static str) -> Self {
        Self {
            severity,
            change: change.into(),
            reason,
        }
    }

    /// The finding at a place.
    pub fn at(self, coordinate: impl Into<String>) -> Finding {
        let Self {
            severity,
            change,
            reason,
        } = self;
        Finding {
            severity,
            coordinate: coordinate.into(),
            change,
            reason,
        }
    }
}

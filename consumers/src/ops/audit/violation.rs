//! What an audit finds: which invariant is broken, by what, how.

use std::fmt;

use shop_core::views::View;
use uuid::Uuid;

/// The invariants, in words, in their order.
const WORDS: [&str; 12] = [
    "an acknowledged change has its row, its outbox event, one logical event in Kafka, its view",
    "one effect per idempotency key",
    "on hand and reserved are what the ledger and the holds add up to",
    "an order holds all its lines or none, and each hold ends once",
    "at most one recorded payment per order that is not refund due",
    "first occurrences of an aggregate's versions in its topic are 1, 2, 3 in order",
    "each event has one effect per consumer",
    "views are what the write side is",
    "subscribers see rising versions without a gap",
    "no offset passes an unrecorded record",
    "nothing grows without bound",
    "every order reaches a state from which it can move",
];

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Violation {
    /// Its number.
    pub invariant: u8,
    /// What breaks it, by id.
    pub subject: String,
    /// How.
    pub problem: String,
    /// The document that is wrong, if it is one.
    pub document: Option<(View, Uuid)>,
}

impl Violation {
    /// A violation that is not about a document.
    pub fn new(invariant: u8, subject: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            invariant,
            subject: subject.to_string(),
            problem: problem.into(),
            document: None,
        }
    }

    /// A document that is not what the write side says.
    pub fn of_document(view: View, id: Uuid, problem: impl Into<String>) -> Self {
        Self {
            invariant: 8,
            subject: view.id(id),
            problem: format!("{} view: {}", view.collection(), problem.into()),
            document: Some((view, id)),
        }
    }

    /// The invariant in words.
    pub fn words(&self) -> &'static str {
        let place = usize::from(self.invariant).wrapping_sub(1);
        WORDS.get(place).copied().unwrap_or("")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.subject, self.problem)
    }
}

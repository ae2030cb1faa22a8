//! What the loop asks of a role.

use std::fmt;
use std::future::Future;

use super::Cause;
use crate::events::{Envelope, Topic};

/// A consumer: a name, the topics it reads, and what it does with a batch.
///
/// The loop promises: records of one key come in the order of the log, and no batch begins before the one before it
/// was handled. It does not promise that a record comes once: a crash, a rebalance or a failure brings it again.
pub trait Role: Send + Sync + 'static {
    /// The group's name without prefix; the program's name.
    fn name(&self) -> &'static str;

    /// The topics to read.
    fn topics(&self) -> &[Topic];

    /// Whether any state of an aggregate makes every earlier one obsolete. Then a record that failed keeps none back: later ones of
    /// its key are handled at once, and it is put aside when one of them was. Else they wait behind it, in order.
    fn later_states_suffice(&self) -> bool {
        false
    }

    /// Handles a batch as one transaction or one bulk write: one outcome per record, in the same order.
    ///
    /// When it returns, what it says is durable. A failure means that nothing of the batch counts as handled; see [`HandleError`] for
    /// what follows. In the batch are only events whose state this version of the program can read. A role that answers
    /// [`Outcome::Retry`] leaves what follows of the same key, too, unless [later states
    /// suffice](Self::later_states_suffice).
    fn handle(
        &self,
        batch: &[Envelope],
    ) -> impl Future<Output = Result<Vec<Outcome>, HandleError>> + Send;
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It had its effect.
    Applied,
    /// It had its effect before.
    Duplicate,
    /// It has no effect, by the rules, now or later.
    Refused,
    /// It failed for the reason given. It is parked and comes again after a pause, and what follows of its key comes after it.
    Retry(Cause),
}

impl Outcome {
    /// A record that failed for a reason.
    pub fn retry(cause: impl Into<Cause>) -> Self {
        Self::Retry(cause.into())
    }

    /// The word that metrics have for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Retry(_) => "retry",
        }
    }
}

/// A whole batch failed.
///
/// Made from any error with `?`, it says that the store is away: the same records come again after a pause. One that is made with
/// [`of_a_record`](Self::of_a_record) says that a record of the batch is to blame: they are handled again one by one, to find it. It is
/// no [`std::error::Error`] itself, as `anyhow::Error` is none.
pub struct HandleError {
    error: anyhow::Error,
    of_a_record: bool,
}

impl<E: Into<anyhow::Error>> From<E> for HandleError {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            of_a_record: false,
        }
    }
}

impl HandleError {
    /// A failure that a record of the batch brought about: the store answers, and does not take it.
    pub fn of_a_record(error: impl Into<anyhow::Error>) -> Self {
        Self {
            error: error.into(),
            of_a_record: true,
        }
    }

    /// Whether a record of the batch is to blame, and not the store.
    pub fn is_of_a_record(&self) -> bool {
        self.of_a_record
    }

    /// The error that it was made from.
    pub fn into_inner(self) -> anyhow::Error {
        self.error
    }
}

impl fmt::Debug for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

/// The error and what caused it, on one line.
impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

//! What the loop asks of a role.

use std::fmt;
use std::future::Future;

use crate::events::{Envelope, Topic};

/// A consumer: a name, the topics it reads, and what it does with a batch.
///
/// The loop promises: records of one partition come in the order of the log, and no batch begins before the one before it
/// was handled. It does not promise that a record comes once: a crash, a rebalance or a failure brings it again.
pub trait Role: Send + Sync + 'static {
    /// The group's name without prefix; the program's name.
    fn name(&self) -> &'static str;

    /// The topics to read.
    fn topics(&self) -> &[Topic];

    /// Handles a batch as one transaction or one bulk write: one outcome per record, in the same order.
    ///
    /// When it returns, what it says is durable. A failure means that the store is away: nothing of the batch counts as
    /// handled, and the same records come again after a pause. In the batch are only events whose state this version of
    /// the program can read.
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
    /// It failed for the reason given. It and what follows it in its partition come again after a pause.
    Retry(String),
}

/// A whole batch failed, because its store is away.
///
/// Made from any error with `?`. It is no [`std::error::Error`] itself, as `anyhow::Error` is none.
pub struct HandleError(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for HandleError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl HandleError {
    /// The error that it was made from.
    pub fn into_inner(self) -> anyhow::Error {
        self.0
    }
}

impl fmt::Debug for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The error and what caused it, on one line.
impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

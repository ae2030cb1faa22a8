//! Every write to MySQL: lock, decide, save, append to the outbox, in one transaction.
//!
//! A command takes the write side, a [`Call`] (when, and within which trace) and its input; it never sends to Kafka and
//! knows neither GraphQL nor Kafka types. Refusals change nothing and emit nothing. Each table has one module here that
//! writes it: users, products, stock, orders.
//!
//! What lies beyond a call's scope is not found, in as many steps as what is not there.
//!
//! What a client asks for may come twice, so every such command claims the call's idempotency key first, before any
//! lock, and keeps its answer last; and may be meant for a version, which is looked at under the row's lock.
//!
//! To add a command: 1. the rule in `domain`, 2. a function here with its effects and refusals in its doc, its request
//! and its answer for `once`, 3. a test in `core/tests/it`, and a line in `idempotency/life.rs` there.

mod once;
pub mod orders;
mod outcome;
pub mod products;
pub mod republish;
pub mod stock;
pub mod users;

use uuid::Uuid;

use crate::db::idempotency::Key;
use crate::db::{StoreError, TransactionError};
use crate::domain::refusal::path;
use crate::domain::{EventId, Refusal, Scope, Timestamp, Version};
use crate::events::{Event, EventType, Payload, TraceParent, event_id};
use crate::runtime::clock;

/// When a command runs, within which trace, and under which conditions.
#[derive(Debug, Clone)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// The trace that its events belong to.
    pub trace: Option<TraceParent>,
    /// The key under which the same may be asked again without being done again.
    pub key: Option<Key>,
    /// The version that the thing to be changed must have.
    pub expected_version: Option<Version>,
    /// Whose things it may change.
    pub scope: Scope,
}

impl Call {
    /// Now, within a trace.
    pub fn now(trace: Option<TraceParent>) -> Self {
        Self::within(clock::now(), trace)
    }

    /// At some time, within a trace.
    pub const fn within(at: Timestamp, trace: Option<TraceParent>) -> Self {
        Self {
            at,
            trace,
            key: None,
            expected_version: None,
            scope: Scope::Everything,
        }
    }

    /// The same for other things than those of the scope so far.
    #[must_use]
    pub fn reaching(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Refuses a thing that is not of the version that was expected.
    fn check_version(&self, actual: Version) -> Result<(), Refusal> {
        match self.expected_version {
            Some(expected) if expected != actual => Err(Refusal::VersionMismatch {
                path: path([&"expectedVersion"]),
                expected,
                actual,
            }),
            _ => Ok(()),
        }
    }

    /// A new event of this call.
    fn event(&self, kind: EventType, payload: Payload) -> Event {
        let mut event = Event {
            id: EventId::from_uuid(Uuid::nil()),
            kind,
            time: self.at,
            trace: self.trace.clone(),
            payload,
        };
        event.id = event_id(
            event.aggregate_type(),
            event.aggregate_id(),
            event.version(),
        );
        event
    }
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An expected "no", for the client to read.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// MySQL is away or too many stand in each other's way; the same command may succeed later.
    #[error("the write side can not take this now")]
    Unavailable(#[source] StoreError),
    /// A mistake of ours.
    #[error("a command failed")]
    Internal(#[source] StoreError),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        if error.is_retryable() {
            Self::Unavailable(error)
        } else {
            Self::Internal(error)
        }
    }
}

impl TransactionError for CommandError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Unavailable(StoreError::Conflict(_)))
    }
}

/// Turns a taken unique value into the refusal that it stands for.
fn duplicate_is(error: StoreError, refusal: Refusal) -> CommandError {
    match error {
        StoreError::Duplicate(_) => refusal.into(),
        other => other.into(),
    }
}

//! Table `parked_records`: records that failed, and what waits behind them, until they are handled or dropped. Written by the
//! consumer loop for the partitions it has, and by the operator.
//!
//! Times are MySQL's, and waits are told from now on, so that a program whose clock is off neither hurries nor sleeps.

mod entry;
mod insert;
pub mod operator;
mod places;
mod stored;

pub use entry::{Entry, entries, heads};
pub use insert::{New, insert};
pub use stored::{Stored, read};

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use self::places::{PLACES, Place, SAME_PLACE, json, places};
use super::{Conn, StoreError};
use crate::events::Source;

/// Tries in vain of one statement, at most: each brings its causes.
const STATEMENT_FAILURES: usize = 500;

/// Where a parked record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// It waits for an earlier one of its key.
    #[serde(rename = "BEHIND")]
    Behind,
    /// It failed, and is tried again.
    #[serde(rename = "FAILING")]
    Failing,
    /// It is a dead letter.
    #[serde(rename = "DEAD")]
    Dead,
}

impl State {
    /// The word in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "BEHIND",
            Self::Failing => "FAILING",
            Self::Dead => "DEAD",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        [Self::Behind, Self::Failing, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| StoreError::corrupt("state", word))
    }
}

/// Why a record failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The error.
    pub cause: String,
    /// The error and what caused it, one a line.
    pub causes: String,
}

/// As much of a text as its column takes.
fn bounded(text: &str) -> &str {
    const MOST: usize = 16_000;
    let end = (0..=MOST.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Takes records away, with one statement; one that is not there is no error. Returns how many there were.
pub async fn delete(
    conn: &mut Conn,
    consumer: &str,
    sources: &[Source],
) -> Result<usize, StoreError> {
    if sources.is_empty() {
        return Ok(0);
    }
    let deleted = diesel::sql_query(format!(
        "DELETE p FROM {PLACES} JOIN parked_records p ON {SAME_PLACE} WHERE p.consumer = ?"
    ))
    .bind::<Text, _>(places(sources)?)
    .bind::<Text, _>(consumer)
    .execute(conn)
    .await?;
    Ok(deleted)
}

/// A try in vain.
#[derive(Debug)]
pub struct Failure {
    /// Which record.
    pub source: Source,
    /// How often it was tried again in vain.
    pub tries: u32,
    /// In how many milliseconds it is tried again.
    pub wait_ms: i64,
    /// Why it failed.
    pub why: Why,
}

/// Notes tries in vain, with one statement unless they are many.
pub async fn note_failures(
    conn: &mut Conn,
    consumer: &str,
    failures: &[Failure],
) -> Result<(), StoreError> {
    for failures in failures.chunks(STATEMENT_FAILURES) {
        let rows: Vec<_> = failures
            .iter()
            .map(|failure| Place {
                tries: failure.tries,
                wait: failure.wait_ms * 1_000,
                cause: bounded(&failure.why.cause),
                causes: bounded(&failure.why.causes),
                ..Place::at(failure.source)
            })
            .collect();
        diesel::sql_query(format!(
            "UPDATE {PLACES} JOIN parked_records p ON {SAME_PLACE} SET p.state = 'FAILING', p.tries = places.tries, \
             p.next_try_at = NOW(3) + INTERVAL places.wait MICROSECOND, p.last_failed_at = NOW(3), \
             p.first_failed_at = COALESCE(p.first_failed_at, NOW(3)), p.cause = places.cause, p.causes = places.causes \
             WHERE p.consumer = ?"
        ))
        .bind::<Text, _>(json(&rows)?)
        .bind::<Text, _>(consumer)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Notes that records are dead letters, with one statement.
pub async fn bury(conn: &mut Conn, consumer: &str, sources: &[Source]) -> Result<(), StoreError> {
    if sources.is_empty() {
        return Ok(());
    }
    diesel::sql_query(format!(
        "UPDATE {PLACES} JOIN parked_records p ON {SAME_PLACE} SET p.state = 'DEAD', p.next_try_at = NULL \
         WHERE p.consumer = ?"
    ))
    .bind::<Text, _>(places(sources)?)
    .bind::<Text, _>(consumer)
    .execute(conn)
    .await?;
    Ok(())
}

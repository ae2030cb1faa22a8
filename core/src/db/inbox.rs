//! Table `processed_events`: which events a consumer has had an effect of. A short cut: the state of the rows decides.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::parts::parts;
use super::schema::processed_events::dsl as t;
use super::types::micros;
use super::{Conn, StoreError};
use crate::domain::{EventId, Timestamp};

/// Those of the events that the consumer has handled before.
pub async fn seen(
    conn: &mut Conn,
    consumer: &str,
    events: &[EventId],
) -> Result<HashSet<EventId>, StoreError> {
    let rows = t::processed_events
        .filter(t::consumer.eq(consumer).and(t::event_id.eq_any(events)))
        .select(t::event_id)
        .load(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Notes that the consumer has handled the events, in the transaction of their effects.
pub async fn record(
    conn: &mut Conn,
    consumer: &str,
    at: Timestamp,
    events: &[EventId],
) -> Result<(), StoreError> {
    let rows: Vec<_> = events
        .iter()
        .map(|id| {
            (
                t::consumer.eq(consumer),
                t::event_id.eq(id),
                t::processed_at.eq(at),
            )
        })
        .collect();
    for part in parts(&rows, 3) {
        diesel::insert_into(t::processed_events)
            .values(part)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Forgets events that were handled longer ago than `older_than`, by MySQL's clock, the oldest first, `limit` at most.
/// Returns how many.
pub async fn prune(
    conn: &mut Conn,
    older_than: Duration,
    limit: usize,
) -> Result<usize, StoreError> {
    let deleted = diesel::sql_query(
        "DELETE /*+ INDEX(processed_events processed_events_age) */ FROM processed_events \
         WHERE processed_at < NOW(3) - INTERVAL ? MICROSECOND ORDER BY processed_at LIMIT ?",
    )
    .bind::<BigInt, _>(micros(older_than))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .execute(conn)
    .await?;
    Ok(deleted)
}

//! Table `outbox`: events that are to be sent, written in the transaction of their effects.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::parts::parts;
use super::schema::outbox::dsl as t;
use super::types::uuid_column;
use super::{Conn, StoreError};
use crate::domain::limits::EVENT_BYTES;
use crate::domain::{EventId, Timestamp};
use crate::events::{AggregateType, Encoding, Event, EventType, StoredEvent};

/// Payload bytes of one statement, well below any sensible `max_allowed_packet`.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// Appends events, in this order, all together.
///
/// # Errors
/// [`StoreError::EventTooLarge`]; [`StoreError::Duplicate`] if a version of an aggregate was announced before.
pub async fn append(
    conn: &mut Conn,
    encoding: Encoding,
    events: &[Event],
) -> Result<(), StoreError> {
    let mut stored: Vec<_> = events.iter().map(|event| event.store(encoding)).collect();
    if let Some(large) = stored.iter().find(|one| one.payload.len() > EVENT_BYTES) {
        let bytes = large.payload.len();
        return Err(StoreError::EventTooLarge { bytes });
    }
    while !stored.is_empty() {
        let mut bytes = 0;
        let fits = stored.iter().take_while(|one| {
            bytes += one.payload.len();
            bytes <= STATEMENT_BYTES
        });
        let rest = stored.split_off(fits.count());
        insert(conn, std::mem::replace(&mut stored, rest)).await?;
    }
    Ok(())
}

async fn insert(conn: &mut Conn, events: Vec<StoredEvent>) -> Result<(), StoreError> {
    let row = |stored: StoredEvent| {
        (
            t::event_id.eq(stored.id),
            t::aggregate_type.eq(stored.aggregate_type.as_str()),
            t::aggregate_id.eq(uuid_column(stored.aggregate_id)),
            t::version.eq(stored.version),
            t::event_type.eq(stored.kind.as_str().to_owned()),
            t::content_type.eq(stored.content_type),
            t::payload.eq(stored.payload),
            t::traceparent.eq(stored.trace.map(|trace| trace.as_str().to_owned())),
            t::created_at.eq(stored.time),
        )
    };
    let rows: Vec<_> = events.into_iter().map(row).collect();
    for part in parts(&rows, 9) {
        diesel::insert_into(t::outbox)
            .values(part)
            .execute(conn)
            .await?;
    }
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = super::schema::outbox, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    seq: u64,
    event_id: EventId,
    aggregate_type: String,
    aggregate_id: Vec<u8>,
    version: u32,
    event_type: String,
    content_type: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
    created_at: Timestamp,
}

/// The oldest unsent events, at most `limit`, by sequence number. Never "greater than the last one": numbers are given
/// before the commit, so a smaller one can appear later.
pub async fn unsent(conn: &mut Conn, limit: usize) -> Result<Vec<(u64, StoredEvent)>, StoreError> {
    let rows: Vec<Row> = t::outbox
        .filter(t::processed_at.is_null())
        .order(t::seq)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(stored).collect()
}

fn stored(row: Row) -> Result<(u64, StoredEvent), StoreError> {
    let aggregate_type = AggregateType::from_word(&row.aggregate_type)
        .ok_or_else(|| StoreError::corrupt("aggregate_type", &row.aggregate_type))?;
    let aggregate_id = Uuid::from_slice(&row.aggregate_id)
        .map_err(|_| StoreError::corrupt("aggregate_id", "not 16 bytes"))?;
    let event = StoredEvent {
        id: row.event_id,
        aggregate_type,
        aggregate_id,
        version: row.version,
        kind: EventType::from(row.event_type.as_str()),
        content_type: row.content_type,
        payload: row.payload,
        trace: row.traceparent.and_then(|text| text.parse().ok()),
        time: row.created_at,
    };
    Ok((row.seq, event))
}

/// Marks events as sent, by MySQL's clock, with one statement.
pub async fn mark_sent(conn: &mut Conn, seqs: &[u64]) -> Result<(), StoreError> {
    if seqs.is_empty() {
        return Ok(());
    }
    diesel::update(t::outbox.filter(t::seq.eq_any(seqs)))
        .set(
            t::processed_at.eq(diesel::dsl::sql::<Nullable<diesel::sql_types::Datetime>>(
                "NOW(3)",
            )),
        )
        .execute(conn)
        .await?;
    Ok(())
}

/// How much waits in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
pub struct Depth {
    /// Unsent rows.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    /// Age of the oldest unsent row in seconds; 0 if there is none.
    #[diesel(sql_type = Double)]
    pub oldest_age_seconds: f64,
}

/// How much waits in the outbox, by MySQL's clock.
pub async fn depth(conn: &mut Conn) -> Result<Depth, StoreError> {
    let depth = diesel::sql_query(
        "SELECT COUNT(*) AS `rows`, \
         CAST(COALESCE(GREATEST(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), NOW(3)), 0), 0) / 1e6 AS DOUBLE) \
         AS oldest_age_seconds FROM outbox WHERE processed_at IS NULL",
    )
    .get_result(conn)
    .await?;
    Ok(depth)
}

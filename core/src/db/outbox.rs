//! Table `outbox`: events that are to be sent, written in the transaction of their effects.

mod unsent;

pub use unsent::{Unsent, unsent, unsent_among};

use std::ops::RangeInclusive;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Unsigned};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use self::unsent::condition;
use super::parts::{fitting, parts};
use super::schema::outbox::dsl as t;
use super::types::{micros, uuid_column};
use super::{Conn, StoreError};
use crate::domain::limits::EVENT_BYTES;
use crate::domain::{EventId, Timestamp};
use crate::events::{AggregateType, Encoding, Event, EventType, StoredEvent};

/// Appends events, in this order, all together.
///
/// # Errors
/// [`StoreError::EventTooLarge`]; [`StoreError::Duplicate`] if a version of an aggregate was announced before.
pub async fn append(
    conn: &mut Conn,
    encoding: Encoding,
    events: &[Event],
) -> Result<(), StoreError> {
    let stored: Vec<_> = events.iter().map(|event| event.store(encoding)).collect();
    if let Some(large) = stored.iter().find(|one| one.payload.len() > EVENT_BYTES) {
        let bytes = large.payload.len();
        return Err(StoreError::EventTooLarge { bytes });
    }
    append_stored(conn, stored).await
}

/// Appends events that were stored before.
pub(super) async fn append_stored(
    conn: &mut Conn,
    mut stored: Vec<StoredEvent>,
) -> Result<(), StoreError> {
    while !stored.is_empty() {
        let fits = fitting(stored.iter().map(|one| one.payload.len()));
        let rest = stored.split_off(fits);
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

#[derive(Queryable, QueryableByName, Selectable)]
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

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Seq {
    #[diesel(sql_type = Unsigned<BigInt>)]
    seq: u64,
}

/// The smallest and the greatest number that can be seen; zeros if the table is empty.
pub async fn ends(conn: &mut Conn) -> Result<(u64, u64), StoreError> {
    let end = async |conn: &mut Conn, which: &str| {
        let query =
            format!("SELECT CAST(COALESCE({which}(seq), 0) AS UNSIGNED) AS seq FROM outbox");
        diesel::sql_query(query).get_result::<Seq>(conn).await
    };
    Ok((end(conn, "MIN").await?.seq, end(conn, "MAX").await?.seq))
}

/// The number of an event that was marked as sent longer ago than `age`, by MySQL's clock, and of all such the last to be marked; `None` if
/// there is none. No younger transaction holds a smaller number.
pub async fn sent_before(conn: &mut Conn, age: Duration) -> Result<Option<u64>, StoreError> {
    let found: Option<Seq> = diesel::sql_query(
        "SELECT seq FROM outbox FORCE INDEX (outbox_unsent) WHERE processed_at < NOW(3) - INTERVAL ? MICROSECOND \
         ORDER BY processed_at DESC, seq DESC LIMIT 1",
    )
    .bind::<BigInt, _>(micros(age))
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map(|row| row.seq))
}

/// The numbers in a range whose events are sent, rising.
pub async fn sent_within(
    conn: &mut Conn,
    range: &RangeInclusive<u64>,
) -> Result<Vec<u64>, StoreError> {
    let rows: Vec<Seq> = diesel::sql_query(
        "SELECT seq FROM outbox FORCE INDEX (PRIMARY) WHERE processed_at IS NOT NULL AND seq BETWEEN ? AND ? ORDER BY seq",
    )
    .bind::<Unsigned<BigInt>, _>(range.start())
    .bind::<Unsigned<BigInt>, _>(range.end())
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.seq).collect())
}

/// From the first to the last unsent number in a range; `None` if all of it is sent.
pub async fn unsent_within(
    conn: &mut Conn,
    range: &RangeInclusive<u64>,
) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    #[derive(QueryableByName)]
    #[diesel(check_for_backend(diesel::mysql::Mysql))]
    struct Ends {
        #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
        first: Option<u64>,
        #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
        last: Option<u64>,
    }
    let ends: Ends = diesel::sql_query(
        "SELECT MIN(seq) AS first, MAX(seq) AS last FROM outbox FORCE INDEX (outbox_unsent) \
         WHERE processed_at IS NULL AND seq BETWEEN ? AND ?",
    )
    .bind::<Unsigned<BigInt>, _>(range.start())
    .bind::<Unsigned<BigInt>, _>(range.end())
    .get_result(conn)
    .await?;
    Ok(ends.first.zip(ends.last).map(|(first, last)| first..=last))
}

/// Deletes events that were sent longer ago than `older_than`, by MySQL's clock, the oldest first, `limit` at most. Returns
/// how many. Goes by the index, so that it meets no row that is not sent, and no lock on one.
pub async fn prune(
    conn: &mut Conn,
    older_than: Duration,
    limit: usize,
) -> Result<usize, StoreError> {
    let deleted = diesel::sql_query(
        "DELETE /*+ INDEX(outbox outbox_unsent) */ FROM outbox WHERE processed_at < NOW(3) - INTERVAL ? MICROSECOND \
         ORDER BY processed_at, seq LIMIT ?",
    )
    .bind::<BigInt, _>(micros(older_than))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .execute(conn)
    .await?;
    Ok(deleted)
}

/// Takes all events of some aggregates out, sent or not, in their order.
pub(super) async fn take(
    conn: &mut Conn,
    kind: AggregateType,
    ids: &[Uuid],
) -> Result<Vec<StoredEvent>, StoreError> {
    let ids: Vec<Vec<u8>> = ids.iter().map(|id| uuid_column(*id)).collect();
    let rows: Vec<Row> = t::outbox
        .filter(
            t::aggregate_type
                .eq(kind.as_str())
                .and(t::aggregate_id.eq_any(ids)),
        )
        .order(t::seq)
        .select(Row::as_select())
        .for_update()
        .load(conn)
        .await?;
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    diesel::delete(t::outbox.filter(t::seq.eq_any(&seqs)))
        .execute(conn)
        .await?;
    rows.into_iter().map(|row| Ok(stored(row)?.1)).collect()
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

/// How much waits in the outbox under these numbers, by MySQL's clock.
pub async fn depth(conn: &mut Conn, among: &[RangeInclusive<u64>]) -> Result<Depth, StoreError> {
    let numbers = condition(among);
    let depth = diesel::sql_query(format!(
        "SELECT (SELECT COUNT(*) FROM outbox FORCE INDEX (outbox_unsent) WHERE processed_at IS NULL AND ({numbers})) AS `rows`, \
         CAST(COALESCE((SELECT GREATEST(TIMESTAMPDIFF(MICROSECOND, created_at, NOW(3)), 0) FROM outbox FORCE INDEX (PRIMARY) \
         WHERE processed_at IS NULL AND ({numbers}) ORDER BY seq LIMIT 1), 0) / 1e6 AS DOUBLE) AS oldest_age_seconds"
    ))
    .get_result(conn)
    .await?;
    Ok(depth)
}

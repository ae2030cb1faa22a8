//! Table `outbox` for whoever looks at all of it, or has parts of it sent again.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::outbox::dsl as t;
use super::types::uuid_column;
use super::{Conn, StoreError, outbox};
use crate::domain::{EventId, Timestamp, Version};
use crate::events::AggregateType;

/// A row without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// The event.
    pub event_id: EventId,
    /// What kind of thing it is about.
    pub aggregate_type: AggregateType,
    /// Which thing.
    pub aggregate_id: Uuid,
    /// The version that the event made.
    pub version: Version,
    /// When Kafka had acknowledged it, by MySQL's clock.
    pub sent_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = super::schema::outbox, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    seq: u64,
    event_id: EventId,
    aggregate_type: String,
    aggregate_id: Vec<u8>,
    version: u32,
    processed_at: Option<Timestamp>,
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq,
            event_id: row.event_id,
            aggregate_type: AggregateType::from_word(&row.aggregate_type)
                .ok_or_else(|| StoreError::corrupt("aggregate_type", &row.aggregate_type))?,
            aggregate_id: Uuid::from_slice(&row.aggregate_id)
                .map_err(|_| StoreError::corrupt("aggregate_id", "not 16 bytes"))?,
            version: row.version,
            sent_at: row.processed_at,
        })
    }
}

/// Rows by place, those after `after`.
pub async fn after(conn: &mut Conn, after: u64, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Row> = t::outbox
        .filter(t::seq.gt(after))
        .order(t::seq)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

/// The place of the newest row; 0 if there is none.
pub async fn last_seq(conn: &mut Conn) -> Result<u64, StoreError> {
    let row: Number = diesel::sql_query("SELECT CAST(MAX(seq) AS SIGNED) AS number FROM outbox")
        .get_result(conn)
        .await?;
    Ok(row
        .number
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(0))
}

/// How many rows up to a place are not sent.
pub async fn unsent_up_to(conn: &mut Conn, seq: u64) -> Result<u64, StoreError> {
    let count: i64 = t::outbox
        .filter(t::processed_at.is_null().and(t::seq.le(seq)))
        .count()
        .get_result(conn)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Aggregates of a kind by id, those after `after`: all of which something was ever announced.
pub async fn aggregates_after(
    conn: &mut Conn,
    kind: AggregateType,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    #[derive(QueryableByName)]
    #[diesel(check_for_backend(diesel::mysql::Mysql))]
    struct Id {
        #[diesel(sql_type = diesel::sql_types::Binary)]
        id: Vec<u8>,
    }
    let (table, column) = match kind {
        AggregateType::User => ("users", "id"),
        AggregateType::Product => ("products", "id"),
        AggregateType::Order => ("orders", "id"),
        AggregateType::Stock => ("stock_orders", "order_id"),
        AggregateType::StockLevel => ("stock", "product_id"),
    };
    let rows: Vec<Id> = diesel::sql_query(format!(
        "SELECT {column} AS id FROM {table} WHERE {column} > ? AND version > 0 ORDER BY {column} LIMIT ?"
    ))
    .bind::<diesel::sql_types::Binary, _>(uuid_column(after))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    rows.iter()
        .map(|row| Uuid::from_slice(&row.id).map_err(|_| StoreError::corrupt("id", "not 16 bytes")))
        .collect()
}

/// Those of the aggregates whose event of the version given is still there.
pub async fn stored(
    conn: &mut Conn,
    kind: AggregateType,
    newest: &[(Uuid, Version)],
) -> Result<HashSet<Uuid>, StoreError> {
    let ids: Vec<Vec<u8>> = newest.iter().map(|(id, _)| uuid_column(*id)).collect();
    let rows: Vec<(Vec<u8>, u32)> = t::outbox
        .filter(
            t::aggregate_type
                .eq(kind.as_str())
                .and(t::aggregate_id.eq_any(ids)),
        )
        .select((t::aggregate_id, t::version))
        .load(conn)
        .await?;
    let rows: HashSet<(Uuid, Version)> = rows
        .into_iter()
        .filter_map(|(id, version)| Some((Uuid::from_slice(&id).ok()?, version)))
        .collect();
    Ok(newest
        .iter()
        .filter(|one| rows.contains(one))
        .map(|(id, _)| *id)
        .collect())
}

/// Has all events of some aggregates that are still there sent again, in their order and after all that was appended before.
/// Returns how many these are.
///
/// They get new numbers: under their old ones the relay knows that they are sent (ADR 0040).
pub async fn append_again(
    conn: &mut Conn,
    kind: AggregateType,
    ids: &[Uuid],
) -> Result<usize, StoreError> {
    let events = outbox::take(conn, kind, ids).await?;
    let count = events.len();
    outbox::append_stored(conn, events).await?;
    Ok(count)
}

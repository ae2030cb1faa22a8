//! What an operator asks of the table, and does to it: key by key.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Integer, Nullable, Text, Unsigned};
use diesel_async::RunQueryDsl;

use super::places::source;
use super::stored::StoredRow;
use super::{State, Stored};
use crate::db::{Conn, StoreError};
use crate::domain::Timestamp;
use crate::events::Source;

/// Which keys are meant; nothing said means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this consumer.
    pub consumer: Option<String>,
    /// This key.
    pub key: Option<Vec<u8>>,
    /// The key of the record that stands here.
    pub of: Option<Source>,
}

/// A key with parked records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// Which consumer could not handle them.
    pub consumer: String,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// How many they are.
    pub records: i64,
    /// Where the first of them stands.
    pub head: Source,
    /// Where the first is on its way.
    pub state: State,
    /// How often the first was tried again in vain.
    pub tries: u32,
    /// When the first is tried again.
    pub next_try_at: Option<Timestamp>,
    /// When the first failed first.
    pub first_failed_at: Option<Timestamp>,
    /// Why the first failed.
    pub cause: Option<String>,
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct KeyRow {
    #[diesel(sql_type = Text)]
    consumer: String,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    partition_no: i32,
    #[diesel(sql_type = BigInt)]
    log_offset: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    record_key: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Unsigned<Integer>)]
    tries: u32,
    #[diesel(sql_type = Nullable<Datetime>)]
    next_try_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Datetime>)]
    first_failed_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    cause: Option<String>,
}

/// The keys that are meant, at most so many, by consumer and in the order of the log.
pub async fn keys(
    conn: &mut Conn,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<ParkedKey>, StoreError> {
    let of = filter.of;
    let rows: Vec<KeyRow> = diesel::sql_query(
        "SELECT h.consumer, h.topic, h.partition_no, h.log_offset, h.record_key, k.records, h.state, h.tries, \
         h.next_try_at, h.first_failed_at, h.cause \
         FROM (SELECT p.consumer, p.topic, p.partition_no, p.record_key, COUNT(*) AS records, MIN(p.log_offset) AS head \
         FROM parked_records p WHERE (? IS NULL OR p.consumer = ?) AND (? IS NULL OR p.record_key = ?) \
         AND (? IS NULL OR EXISTS (SELECT 1 FROM parked_records m WHERE m.consumer = p.consumer AND m.topic = p.topic \
         AND m.partition_no = p.partition_no AND m.record_key <=> p.record_key \
         AND m.topic = ? AND m.partition_no = ? AND m.log_offset = ?)) \
         GROUP BY p.consumer, p.topic, p.partition_no, p.record_key) k \
         JOIN parked_records h ON h.consumer = k.consumer AND h.topic = k.topic AND h.partition_no = k.partition_no \
         AND h.log_offset = k.head ORDER BY h.consumer, h.topic, h.partition_no, h.log_offset LIMIT ?",
    )
    .bind::<Nullable<Text>, _>(&filter.consumer)
    .bind::<Nullable<Text>, _>(&filter.consumer)
    .bind::<Nullable<Binary>, _>(&filter.key)
    .bind::<Nullable<Binary>, _>(&filter.key)
    .bind::<Nullable<Text>, _>(of.map(|of| of.topic.as_str()))
    .bind::<Nullable<Text>, _>(of.map(|of| of.topic.as_str()))
    .bind::<Nullable<Integer>, _>(of.map(|of| of.partition))
    .bind::<Nullable<BigInt>, _>(of.map(|of| of.offset))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    let key = |row: KeyRow| {
        Ok(ParkedKey {
            head: source(&row.topic, row.partition_no, row.log_offset)?,
            state: State::read(&row.state)?,
            consumer: row.consumer,
            key: row.record_key,
            records: row.records,
            tries: row.tries,
            next_try_at: row.next_try_at,
            first_failed_at: row.first_failed_at,
            cause: row.cause,
        })
    };
    rows.into_iter().map(key).collect()
}

const OF_KEY: &str = "consumer = ? AND topic = ? AND partition_no = ? AND record_key <=> ?";

/// The records of a key with what is in them, at most so many, in order.
pub async fn records(
    conn: &mut Conn,
    key: &ParkedKey,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<StoredRow> = diesel::sql_query(format!(
        "SELECT * FROM parked_records WHERE {OF_KEY} ORDER BY log_offset LIMIT ?"
    ))
    .bind::<Text, _>(&key.consumer)
    .bind::<Text, _>(key.head.topic.as_str())
    .bind::<Integer, _>(key.head.partition)
    .bind::<Nullable<Binary>, _>(&key.key)
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    rows.into_iter().map(Stored::try_from).collect()
}

/// Has what failed of a key tried again now, as if it had never been. Whoever has the partition notices. Returns how many records that are.
pub async fn redrive(conn: &mut Conn, key: &ParkedKey) -> Result<usize, StoreError> {
    let changed = diesel::sql_query(format!(
        "UPDATE parked_records SET state = 'FAILING', tries = 0, next_try_at = NOW(3) \
         WHERE {OF_KEY} AND state <> 'BEHIND'"
    ))
    .bind::<Text, _>(&key.consumer)
    .bind::<Text, _>(key.head.topic.as_str())
    .bind::<Integer, _>(key.head.partition)
    .bind::<Nullable<Binary>, _>(&key.key)
    .execute(conn)
    .await?;
    Ok(changed)
}

/// Drops the first record of a key as it was found, or all of them. Returns how many there were.
pub async fn drop_records(
    conn: &mut Conn,
    key: &ParkedKey,
    all: bool,
) -> Result<usize, StoreError> {
    let dropped = diesel::sql_query(format!(
        "DELETE FROM parked_records WHERE {OF_KEY} AND (? OR log_offset = ?)"
    ))
    .bind::<Text, _>(&key.consumer)
    .bind::<Text, _>(key.head.topic.as_str())
    .bind::<Integer, _>(key.head.partition)
    .bind::<Nullable<Binary>, _>(&key.key)
    .bind::<diesel::sql_types::Bool, _>(all)
    .bind::<BigInt, _>(key.head.offset)
    .execute(conn)
    .await?;
    Ok(dropped)
}

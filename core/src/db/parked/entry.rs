//! What is parked, without what is in it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Unsigned};
use diesel_async::RunQueryDsl;

use super::State;
use super::places::{PLACES, Place, json, source};
use crate::db::{Conn, StoreError};
use crate::events::{Source, Topic};

/// A parked record, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub source: Source,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// How many bytes it has.
    pub bytes: usize,
    /// Where it is on its way.
    pub state: State,
    /// How often it was tried again in vain.
    pub tries: u32,
    /// In how many milliseconds it is tried again; negative if that is overdue.
    pub wait_ms: i64,
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct EntryRow {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Integer)]
    partition_no: i32,
    #[diesel(sql_type = BigInt)]
    log_offset: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    record_key: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Unsigned<Integer>)]
    tries: u32,
    #[diesel(sql_type = BigInt)]
    wait_ms: i64,
}

/// Everything that is parked of some partitions, without what is in it, in the order of the log.
pub async fn entries(
    conn: &mut Conn,
    consumer: &str,
    partitions: &[(Topic, i32)],
) -> Result<Vec<Entry>, StoreError> {
    read_entries(conn, consumer, partitions, "record_key", "").await
}

/// The same for those that wait behind nothing, without their keys. Reads an index alone but for their bytes and waits.
pub async fn heads(
    conn: &mut Conn,
    consumer: &str,
    partitions: &[(Topic, i32)],
) -> Result<Vec<Entry>, StoreError> {
    let condition = "AND p.state IN ('FAILING', 'DEAD')";
    read_entries(conn, consumer, partitions, "NULL", condition).await
}

async fn read_entries(
    conn: &mut Conn,
    consumer: &str,
    partitions: &[(Topic, i32)],
    key: &str,
    condition: &str,
) -> Result<Vec<Entry>, StoreError> {
    let wanted: Vec<_> = partitions
        .iter()
        .map(|(topic, partition)| Place::new(*topic, *partition, 0))
        .collect();
    let rows: Vec<EntryRow> = diesel::sql_query(format!(
        "SELECT p.topic, p.partition_no, p.log_offset, {key} AS record_key, \
         CAST(COALESCE(LENGTH(p.payload), 0) + LENGTH(p.headers) AS SIGNED) AS bytes, p.state, p.tries, \
         CAST(COALESCE(TIMESTAMPDIFF(MICROSECOND, NOW(3), p.next_try_at) DIV 1000, 0) AS SIGNED) AS wait_ms \
         FROM {PLACES} JOIN parked_records p \
         ON p.topic = places.t AND p.partition_no = places.p WHERE p.consumer = ? {condition} \
         ORDER BY p.topic, p.partition_no, p.log_offset"
    ))
    .bind::<Text, _>(json(&wanted)?)
    .bind::<Text, _>(consumer)
    .load(conn)
    .await?;
    let entry = |row: EntryRow| {
        Ok(Entry {
            source: source(&row.topic, row.partition_no, row.log_offset)?,
            key: row.record_key,
            bytes: usize::try_from(row.bytes).unwrap_or(0),
            state: State::read(&row.state)?,
            tries: row.tries,
            wait_ms: row.wait_ms,
        })
    };
    rows.into_iter().map(entry).collect()
}

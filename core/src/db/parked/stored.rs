//! What is parked, with what is in it.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

use super::places::{PLACES, SAME_PLACE, places, source};
use super::{State, Why};
use crate::db::schema::parked_records;
use crate::db::{Conn, StoreError};
use crate::domain::Timestamp;
use crate::events::{RawRecord, Source};

/// A parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which consumer could not handle it.
    pub consumer: String,
    /// Where it stands.
    pub source: Source,
    /// As it is.
    pub raw: RawRecord,
    /// Where it is on its way.
    pub state: State,
    /// How often it was tried again in vain.
    pub tries: u32,
    /// When it is tried again, if that is known.
    pub next_try_at: Option<Timestamp>,
    /// When it failed first; `None` if it only waits.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// Why it failed last.
    pub why: Option<Why>,
}

#[derive(QueryableByName)]
#[diesel(table_name = parked_records, check_for_backend(diesel::mysql::Mysql))]
pub(super) struct StoredRow {
    consumer: String,
    topic: String,
    partition_no: i32,
    log_offset: i64,
    record_key: Option<Vec<u8>>,
    headers: Vec<u8>,
    payload: Option<Vec<u8>>,
    state: String,
    tries: u32,
    next_try_at: Option<Timestamp>,
    first_failed_at: Option<Timestamp>,
    last_failed_at: Option<Timestamp>,
    parked_at: Timestamp,
    cause: Option<String>,
    causes: Option<String>,
}

impl TryFrom<StoredRow> for Stored {
    type Error = StoreError;

    fn try_from(row: StoredRow) -> Result<Self, StoreError> {
        let headers = RawRecord::decode_headers(&row.headers)
            .ok_or_else(|| StoreError::corrupt("headers", "not written by us"))?;
        Ok(Self {
            consumer: row.consumer,
            source: source(&row.topic, row.partition_no, row.log_offset)?,
            raw: RawRecord {
                key: row.record_key,
                headers,
                value: row.payload,
            },
            state: State::read(&row.state)?,
            tries: row.tries,
            next_try_at: row.next_try_at,
            first_failed_at: row.first_failed_at,
            last_failed_at: row.last_failed_at,
            parked_at: row.parked_at,
            why: row.cause.map(|cause| Why {
                causes: row.causes.unwrap_or_else(|| cause.clone()),
                cause,
            }),
        })
    }
}

/// Records with what is in them, in the order of the log. One that is not parked (any more) is left out.
pub async fn read(
    conn: &mut Conn,
    consumer: &str,
    sources: &[Source],
) -> Result<Vec<Stored>, StoreError> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<StoredRow> = diesel::sql_query(format!(
        "SELECT p.* FROM {PLACES} JOIN parked_records p ON {SAME_PLACE} WHERE p.consumer = ? \
         ORDER BY p.topic, p.partition_no, p.log_offset"
    ))
    .bind::<Text, _>(places(sources)?)
    .bind::<Text, _>(consumer)
    .load(conn)
    .await?;
    rows.into_iter().map(Stored::try_from).collect()
}

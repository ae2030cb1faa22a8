//! Table `parked_records`: records that failed, and what waits behind them, until they are handled or dropped. Written by the
//! consumer loop for the partitions it has, and by the operator.
//!
//! Times are MySQL's, and waits are told from now on, so that a program whose clock is off neither hurries nor sleeps.

pub mod operator;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Integer, Nullable, Text, Unsigned};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use super::parts::parts;
use super::schema::parked_records::{self, dsl as t};
use super::{Conn, StoreError};
use crate::domain::Timestamp;
use crate::events::{RawRecord, Source, Topic};

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

/// A record that is to be parked.
#[derive(Debug)]
pub struct New<'a> {
    /// Where it stands.
    pub source: Source,
    /// As it is.
    pub raw: &'a RawRecord,
    /// Why it failed and in how many milliseconds it is tried again; `None` if it waits behind another.
    pub failed: Option<(Why, i64)>,
}

/// Payload bytes of one statement, well below any sensible `max_allowed_packet`.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;
/// Tries in vain of one statement, at most: each brings its causes.
const STATEMENT_FAILURES: usize = 500;

/// Parks records, with one statement unless they are large. One that is parked already stays as it is, unless it only waited
/// behind another and has failed now: a former owner of the partition may have parked it as it saw it.
pub async fn insert(
    conn: &mut Conn,
    consumer: &str,
    records: &[New<'_>],
) -> Result<(), StoreError> {
    let mut left = records;
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = left.iter().take_while(|one| {
            bytes += one.raw.bytes();
            bytes <= STATEMENT_BYTES
        });
        // One that is too large for every limit of ours may still fit alone.
        let (now, later) = left.split_at(fits.count().max(1));
        let rows: Vec<_> = now
            .iter()
            .map(
                |New {
                     source,
                     raw,
                     failed,
                 }| {
                    let state = failed.as_ref().map_or(State::Behind, |_| State::Failing);
                    let wait = failed.as_ref().map(|(_, wait)| wait * 1_000);
                    let failed_at = failed.as_ref().map(|_| 0_i64);
                    let why = failed.as_ref().map(|(why, _)| why);
                    (
                        (
                            t::consumer.eq(consumer),
                            t::topic.eq(source.topic.as_str()),
                            t::partition_no.eq(source.partition),
                            t::log_offset.eq(source.offset),
                            t::record_key.eq(raw.key.as_deref()),
                            t::headers.eq(raw.encode_headers()),
                            t::payload.eq(raw.value.as_deref()),
                        ),
                        (
                            t::state.eq(state.as_str()),
                            t::tries.eq(0),
                            t::next_try_at.eq(in_micros(wait)),
                            t::first_failed_at.eq(in_micros(failed_at)),
                            t::last_failed_at.eq(in_micros(failed_at)),
                            t::parked_at.eq(sql::<Datetime>("NOW(3)")),
                            t::cause.eq(why.map(|why| bounded(&why.cause))),
                            t::causes.eq(why.map(|why| bounded(&why.causes))),
                        ),
                    )
                },
            )
            .collect();
        for part in parts(&rows, 14) {
            diesel::insert_into(parked_records::table)
                .values(part)
                .on_conflict(diesel::dsl::DuplicatedKeys)
                .do_update()
                .set((
                    t::next_try_at.eq(sql::<Nullable<Datetime>>(
                        "IF(state = 'BEHIND', VALUES(next_try_at), next_try_at)",
                    )),
                    t::first_failed_at.eq(sql::<Nullable<Datetime>>(
                        "IF(state = 'BEHIND', VALUES(first_failed_at), first_failed_at)",
                    )),
                    t::last_failed_at.eq(sql::<Nullable<Datetime>>(
                        "IF(state = 'BEHIND', VALUES(last_failed_at), last_failed_at)",
                    )),
                    t::cause.eq(sql::<Nullable<Text>>(
                        "IF(state = 'BEHIND', VALUES(cause), cause)",
                    )),
                    t::causes.eq(sql::<Nullable<Text>>(
                        "IF(state = 'BEHIND', VALUES(causes), causes)",
                    )),
                    // Last: from here on it is the new one.
                    t::state.eq(sql::<Text>("IF(state = 'BEHIND', VALUES(state), state)")),
                ))
                .execute(conn)
                .await?;
        }
        left = later;
    }
    Ok(())
}

type InMicros = diesel::expression::SqlLiteral<
    Nullable<Datetime>,
    diesel::expression::UncheckedBind<
        diesel::expression::SqlLiteral<Nullable<Datetime>>,
        diesel::dsl::AsExprOf<Option<i64>, Nullable<BigInt>>,
    >,
>;

/// Now plus some microseconds; nothing plus nothing.
fn in_micros(micros: Option<i64>) -> InMicros {
    sql::<Nullable<Datetime>>("NOW(3) + INTERVAL ")
        .bind::<Nullable<BigInt>, _>(micros)
        .sql(" MICROSECOND")
}

/// As much of a text as its column takes.
fn bounded(text: &str) -> &str {
    const MOST: usize = 16_000;
    let end = (0..=MOST.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

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
struct StoredRow {
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

/// Rows of a statement's parameter, as a table to join with.
const PLACES: &str = "JSON_TABLE(?, '$[*]' COLUMNS (t VARCHAR(32) PATH '$.t', p INT PATH '$.p', o BIGINT PATH '$.o', \
     tries INT UNSIGNED PATH '$.tries', wait BIGINT PATH '$.wait', cause TEXT PATH '$.cause', \
     causes TEXT PATH '$.causes')) AS places";
const SAME_PLACE: &str =
    "p.topic = places.t AND p.partition_no = places.p AND p.log_offset = places.o";

#[derive(Default, Serialize)]
struct Place<'a> {
    t: &'static str,
    p: i32,
    o: i64,
    tries: u32,
    wait: i64,
    cause: &'a str,
    causes: &'a str,
}

impl Place<'_> {
    fn new(topic: Topic, partition: i32, offset: i64) -> Self {
        Self {
            t: topic.as_str(),
            p: partition,
            o: offset,
            ..Self::default()
        }
    }

    fn at(source: Source) -> Self {
        Self::new(source.topic, source.partition, source.offset)
    }
}

fn places(sources: &[Source]) -> Result<String, StoreError> {
    json(
        &sources
            .iter()
            .map(|source| Place::at(*source))
            .collect::<Vec<_>>(),
    )
}

fn json(rows: &[Place<'_>]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| {
        StoreError::Failed(diesel::result::Error::SerializationError(error.into()))
    })
}

fn source(topic: &str, partition: i32, offset: i64) -> Result<Source, StoreError> {
    Ok(Source {
        topic: topic
            .parse()
            .map_err(|_| StoreError::corrupt("topic", topic))?,
        partition,
        offset,
    })
}

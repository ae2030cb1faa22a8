//! What is to be sent next.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Unsigned};
use diesel_async::RunQueryDsl;

use super::{Row, stored};
use crate::db::parts::fitting;
use crate::db::schema::outbox::dsl as t;
use crate::db::{Conn, StoreError};
use crate::domain::limits::BATCH_BYTES;
use crate::events::StoredEvent;

/// The oldest unsent events, at most `limit`, by sequence number. Never "greater than the last one": numbers are given
/// before the commit, so a smaller one can appear later.
///
/// Walks over every entry of the index that was marked and is not purged yet: for tests and repairs. The relay uses
/// [`unsent_among`].
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

/// What a look into the outbox found.
#[derive(Debug, Default)]
pub struct Unsent {
    /// The oldest unsent events, by sequence number.
    pub events: Vec<(u64, StoredEvent)>,
    /// Whether there can be more: the look was full, of rows or of bytes.
    pub there_is_more: bool,
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Seen {
    /// Its payload is empty if it is large.
    #[diesel(embed)]
    event: Row,
    #[diesel(sql_type = Unsigned<BigInt>)]
    bytes: u64,
}

impl Seen {
    fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

/// The oldest unsent events among these numbers by sequence number, as of one moment: at most `limit`, and at most
/// [`BATCH_BYTES`] of payloads and one event.
///
/// Goes by the primary key, which marking a row leaves as it is: reads no row outside the ranges, purged or not. Payloads
/// that are larger than their share of the bytes are read with a second statement, and only those that fit.
pub async fn unsent_among(
    conn: &mut Conn,
    among: &[RangeInclusive<u64>],
    limit: usize,
) -> Result<Unsent, StoreError> {
    let share = BATCH_BYTES / limit.max(1);
    let seen: Vec<Seen> = diesel::sql_query(format!(
        "SELECT seq, event_id, aggregate_type, aggregate_id, version, event_type, content_type, \
         IF(LENGTH(payload) <= {share}, payload, X'') AS payload, traceparent, created_at, \
         CAST(LENGTH(payload) AS UNSIGNED) AS bytes \
         FROM outbox FORCE INDEX (PRIMARY) WHERE processed_at IS NULL AND ({}) ORDER BY seq LIMIT {limit}",
        condition(among)
    ))
    .load(conn)
    .await?;
    let mut there_is_more = seen.len() >= limit;
    #[cfg(feature = "failpoints")]
    let mut seen = without_late_ones(seen);
    #[cfg(not(feature = "failpoints"))]
    let mut seen = seen;
    let fits = fitting(seen.iter().map(Seen::bytes));
    there_is_more |= fits < seen.len();
    seen.truncate(fits);
    let is_large = |seen: &&Seen| seen.bytes() > share;
    let large: Vec<u64> = seen
        .iter()
        .filter(is_large)
        .map(|seen| seen.event.seq)
        .collect();
    let mut payloads = payloads(conn, &large).await?;
    let mut events = Vec::with_capacity(seen.len());
    for seen in seen {
        let mut row = seen.event;
        if large.binary_search(&row.seq).is_ok() {
            let Some(payload) = payloads.remove(&row.seq) else {
                // Somebody took it out meanwhile, and what follows of its aggregate with it: it comes again, later.
                there_is_more = true;
                break;
            };
            row.payload = payload;
        }
        events.push(stored(row)?);
    }
    Ok(Unsent {
        events,
        there_is_more,
    })
}

async fn payloads(conn: &mut Conn, seqs: &[u64]) -> Result<HashMap<u64, Vec<u8>>, StoreError> {
    if seqs.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(u64, Vec<u8>)> = t::outbox
        .filter(t::seq.eq_any(seqs))
        .select((t::seq, t::payload))
        .load(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// "One of these numbers", in SQL.
pub(super) fn condition(among: &[RangeInclusive<u64>]) -> String {
    let mut sql = String::from("FALSE");
    for range in among {
        let (from, to) = (range.start(), range.end());
        let written = if *to == u64::MAX {
            write!(sql, " OR seq >= {from}")
        } else {
            write!(sql, " OR seq BETWEEN {from} AND {to}")
        };
        debug_assert!(written.is_ok(), "a string takes what is written");
    }
    sql
}

/// What reading after the last number would have missed, in a lab build whose guard is off.
#[cfg(feature = "failpoints")]
fn without_late_ones(mut rows: Vec<Seen>) -> Vec<Seen> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::runtime::guard::{self, Guard};

    static LAST: AtomicU64 = AtomicU64::new(0);
    if !guard::is_on(Guard::UnsentRowsReading) {
        let last = AtomicU64::load(&LAST, Ordering::SeqCst);
        rows.retain(|seen| seen.event.seq > last);
        let newest = rows.iter().map(|seen| seen.event.seq).max().unwrap_or(last);
        LAST.store(newest, Ordering::SeqCst);
    }
    rows
}

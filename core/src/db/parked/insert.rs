//! Parks records.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Datetime, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::{State, Why, bounded};
use crate::db::parts::{fitting, parts};
use crate::db::schema::parked_records::{self, dsl as t};
use crate::db::{Conn, StoreError};
use crate::events::{RawRecord, Source};

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

/// Parks records, with one statement unless they are large. One that is parked already stays as it is, unless it only waited
/// behind another and has failed now: a former owner of the partition may have parked it as it saw it.
pub async fn insert(
    conn: &mut Conn,
    consumer: &str,
    records: &[New<'_>],
) -> Result<(), StoreError> {
    let mut left = records;
    while !left.is_empty() {
        // One that is too large for every limit of ours may still fit alone.
        let (now, later) = left.split_at(fitting(left.iter().map(|one| one.raw.bytes())));
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

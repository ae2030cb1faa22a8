//! What follows from a batch.

use std::time::{Duration, Instant};

use super::*;
use crate::bus::parking::{Parked, Retry};
use crate::domain::stock::HoldState;
use crate::domain::{EventId, OrderId, Timestamp};
use crate::events::{Event, EventType, Payload, StockDecision, Topic};
use crate::runtime::ids;

const P0: Partition = (Topic::Stock, 0);
const P1: Partition = (Topic::Stock, 1);

fn ledger(reopens: bool) -> Ledger {
    let retry = Retry {
        first_wait: Duration::from_secs(1),
        max_elapsed: Duration::from_mins(5),
    };
    Ledger::new(reopens, retry)
}

/// A decision about an order's stock; of a kind that nobody knows, if there is no state.
fn decision(at: Partition, offset: i64, key: &str, state: Option<HoldState>) -> Polled {
    let payload = Payload::Stock(StockDecision {
        order_id: OrderId::from_uuid(ids::fresh()),
        version: 1,
        order_version: 1,
        state,
        lines: Vec::new(),
        shortages: Vec::new(),
    });
    let event = Event {
        id: EventId::from_uuid(ids::fresh()),
        kind: EventType::StockReserved,
        time: Timestamp::from_millis(0),
        trace: None,
        payload,
    };
    let source = Source {
        topic: at.0,
        partition: at.1,
        offset,
    };
    let raw = RawRecord {
        key: Some(key.into()),
        ..RawRecord::default()
    };
    Polled {
        source,
        raw,
        event: Ok(event),
    }
}

fn held(at: Partition, offset: i64, key: &str) -> Polled {
    decision(at, offset, key, Some(HoldState::Held))
}

fn poison(at: Partition, offset: i64, key: &str) -> Polled {
    Polled {
        event: Err(DecodeError::MissingHeader("ce_id")),
        ..held(at, offset, key)
    }
}

fn offsets(envelopes: &[Envelope]) -> Vec<i64> {
    envelopes.iter().map(|one| one.source.offset).collect()
}

/// What is parked: partition, offset, and whether it failed itself.
fn parked(settled: &Settled) -> Vec<(i32, i64, bool)> {
    let park = settled.park.iter();
    park.map(|one| (one.source.partition, one.source.offset, one.cause.is_some()))
        .collect()
}

#[test]
fn an_unknown_decision_is_passed_over_and_its_offset_counts() {
    let batch = vec![
        held(P0, 3, "a"),
        decision(P0, 4, "a", None),
        decision(P1, 9, "b", None),
    ];
    let sorted = sort(batch, &ledger(false));
    assert_eq!(offsets(&sorted.envelopes), [3]);
    let settled = sorted.settle(vec![Outcome::Applied]);
    assert_eq!(settled.next, BTreeMap::from([(P0, 5), (P1, 10)]));
    let skipped = settled.done.iter().filter(|(_, how)| *how == Done::Skipped);
    assert_eq!((settled.done.len(), skipped.count()), (3, 2));
}

#[test]
fn a_failed_record_takes_what_follows_of_its_key_along_and_nothing_else() {
    let batch = vec![
        held(P0, 3, "a"),
        held(P0, 4, "b"),
        held(P1, 9, "a"),
        held(P0, 5, "a"),
        held(P0, 6, "b"),
        held(P0, 7, "a"),
    ];
    let retry = || Outcome::retry("not yet");
    let outcomes = vec![
        retry(),
        Outcome::Applied,
        Outcome::Duplicate,
        retry(),
        Outcome::Refused,
        retry(),
    ];
    let settled = sort(batch, &ledger(false)).settle(outcomes);
    assert_eq!(
        parked(&settled),
        [(0, 3, true), (0, 5, false), (0, 7, false)]
    );
    assert_eq!(settled.next, BTreeMap::from([(P0, 8), (P1, 10)]));
    assert_eq!(settled.done.len(), 3);
}

#[test]
fn nothing_behind_poison_is_handled_in_its_key() {
    let batch = vec![
        held(P0, 3, "a"),
        poison(P0, 4, "a"),
        held(P0, 5, "b"),
        held(P0, 6, "a"),
        held(P1, 7, "a"),
    ];
    let sorted = sort(batch, &ledger(false));
    assert_eq!(offsets(&sorted.envelopes), [3, 5, 7]);
    let settled = sorted.settle(vec![Outcome::Applied; 3]);
    assert_eq!(parked(&settled), [(0, 4, true), (0, 6, false)]);
}

#[test]
fn what_comes_for_a_closed_key_is_parked_behind_unless_it_is_older() {
    let mut ledger = ledger(false);
    let lane = held(P0, 4, "a").lane();
    let state = ledger.failing(Instant::now(), 0.5);
    let head = Parked {
        lane,
        offset: 4,
        bytes: 0,
        state,
    };
    ledger.park([head], Instant::now());
    let batch = vec![
        held(P0, 3, "a"),
        held(P0, 4, "a"),
        poison(P0, 5, "a"),
        held(P0, 6, "b"),
    ];
    let sorted = sort(batch, &ledger);
    assert_eq!(offsets(&sorted.envelopes), [3, 6]);
    let settled = sorted.settle(vec![Outcome::Duplicate, Outcome::Applied]);
    assert_eq!(parked(&settled), [(0, 4, false), (0, 5, false)]);
}

#[test]
fn where_later_states_suffice_nothing_waits_behind() {
    let batch = vec![
        poison(P0, 3, "a"),
        held(P0, 4, "a"),
        held(P0, 5, "a"),
        held(P0, 6, "a"),
    ];
    let sorted = sort(batch, &ledger(true));
    assert_eq!(offsets(&sorted.envelopes), [4, 5, 6]);
    let outcomes = vec![
        Outcome::Applied,
        Outcome::retry("too large"),
        Outcome::retry("too large"),
    ];
    let settled = sorted.settle(outcomes);
    assert_eq!(parked(&settled), [(0, 3, true), (0, 5, true), (0, 6, true)]);
    assert_eq!(settled.reopened.len(), 1);
    assert_eq!(settled.reopened[0].1, 4);
}

#[test]
fn no_offset_passes_a_record_that_could_not_be_parked() {
    let batch = vec![
        held(P0, 3, "a"),
        poison(P0, 4, "a"),
        held(P0, 5, "b"),
        poison(P0, 6, "b"),
        held(P1, 7, "a"),
    ];
    let mut settled = sort(batch, &ledger(false)).settle(vec![Outcome::Applied; 3]);
    assert_eq!(settled.give_way(), BTreeMap::from([(P0, 4)]));
    assert_eq!(settled.next, BTreeMap::from([(P0, 4), (P1, 8)]));
    let done: Vec<_> = settled
        .done
        .iter()
        .map(|(source, _)| source.offset)
        .collect();
    assert_eq!(done, [3, 7]);
}

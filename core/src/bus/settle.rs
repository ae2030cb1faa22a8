//! What a batch and its outcomes mean for the offsets. Pure.

use std::collections::{BTreeMap, HashSet};

use super::holds::Partition;
use super::record::{Record, is_unknown_decision};
use super::role::Outcome;
use crate::events::{DecodeError, Envelope, Source};

/// A batch, taken apart: what is to be handled, and what became of the rest.
#[derive(Debug)]
pub(super) struct Sorted {
    /// For the role.
    pub envelopes: Vec<Envelope>,
    /// One per record up to the first poison of each partition, in the order of the log.
    places: Vec<(Source, Place)>,
}

#[derive(Debug)]
enum Place {
    /// Its index among the envelopes.
    Handled(usize),
    /// It says nothing to this version of the program.
    Skipped,
    /// It is no event.
    Poison(DecodeError),
}

/// What follows from a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Per partition, the offset after the last record that is dealt with.
    pub next: BTreeMap<Partition, i64>,
    /// Per partition, the first record that failed, and why.
    pub failed: BTreeMap<Partition, Failure>,
    /// Records that are dealt with, skipped ones among them.
    pub done: Vec<Source>,
    /// Skipped ones.
    pub skipped: Vec<Source>,
}

/// A record that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Where it stands.
    pub offset: i64,
    /// Why.
    pub cause: Cause,
}

/// Why a record failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is no event: poison.
    Poison(DecodeError),
    /// The role asks for another try.
    Retry(String),
}

/// Takes a batch apart. What follows a poisoned record in its partition is left out: nothing passes it.
pub(super) fn sort(records: Vec<Record>) -> Sorted {
    let mut sorted = Sorted {
        envelopes: Vec::with_capacity(records.len()),
        places: Vec::new(),
    };
    let mut poisoned = HashSet::new();
    for Record { source, event, .. } in records {
        let partition = (source.topic, source.partition);
        if poisoned.contains(&partition) {
            continue;
        }
        let place = match event {
            Ok(event) if is_unknown_decision(&event) => Place::Skipped,
            Ok(event) => {
                sorted.envelopes.push(Envelope { source, event });
                Place::Handled(sorted.envelopes.len() - 1)
            }
            Err(error) => {
                poisoned.insert(partition);
                Place::Poison(error)
            }
        };
        sorted.places.push((source, place));
    }
    sorted
}

impl Sorted {
    /// The first offset of every partition in the batch: where it begins again if nothing of it counts.
    pub(super) fn firsts(&self) -> BTreeMap<Partition, i64> {
        let mut firsts = BTreeMap::new();
        for (source, _) in &self.places {
            firsts
                .entry((source.topic, source.partition))
                .or_insert(source.offset);
        }
        firsts
    }

    /// What follows from the outcomes, one per envelope: in each partition everything up to the first failure is dealt with.
    pub(super) fn settle(self, outcomes: Vec<Outcome>) -> Settled {
        let mut settled = Settled::default();
        let mut outcomes: Vec<_> = outcomes.into_iter().map(Some).collect();
        for (source, place) in self.places {
            let partition = (source.topic, source.partition);
            if settled.failed.contains_key(&partition) {
                continue;
            }
            let cause = match place {
                Place::Skipped => {
                    settled.skipped.push(source);
                    None
                }
                Place::Poison(error) => Some(Cause::Poison(error)),
                Place::Handled(index) => match outcomes.get_mut(index).and_then(Option::take) {
                    Some(Outcome::Applied | Outcome::Duplicate | Outcome::Refused) => None,
                    Some(Outcome::Retry(cause)) => Some(Cause::Retry(cause)),
                    None => Some(Cause::Retry("the role gave no outcome".to_owned())),
                },
            };
            if let Some(cause) = cause {
                settled.failed.insert(
                    partition,
                    Failure {
                        offset: source.offset,
                        cause,
                    },
                );
            } else {
                settled.next.insert(partition, source.offset + 1);
                settled.done.push(source);
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stock::HoldState;
    use crate::domain::{EventId, OrderId, Timestamp};
    use crate::events::{Event, EventType, Payload, StockDecision, Topic};
    use crate::runtime::ids;

    const P0: Partition = (Topic::Stock, 0);
    const P1: Partition = (Topic::Stock, 1);

    /// A decision about an order's stock; of a kind that nobody knows, if there is no state.
    fn decision(at: Partition, offset: i64, state: Option<HoldState>) -> Record {
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
        Record {
            source,
            key: None,
            bytes: 0,
            event: Ok(event),
        }
    }

    fn held(at: Partition, offset: i64) -> Record {
        decision(at, offset, Some(HoldState::Held))
    }

    #[test]
    fn an_unknown_decision_is_passed_over_and_its_offset_counts() {
        let sorted = sort(vec![
            held(P0, 3),
            decision(P0, 4, None),
            decision(P1, 9, None),
        ]);
        assert_eq!(sorted.envelopes.len(), 1);
        let settled = sorted.settle(vec![Outcome::Applied]);
        assert_eq!(settled.next, BTreeMap::from([(P0, 5), (P1, 10)]));
        assert_eq!(
            (
                settled.done.len(),
                settled.skipped.len(),
                settled.failed.len()
            ),
            (3, 2, 0)
        );
    }

    #[test]
    fn no_offset_passes_a_failed_record() {
        let batch = vec![held(P0, 3), held(P0, 4), held(P1, 9), held(P0, 5)];
        let retry = Outcome::Retry("not yet".into());
        let outcomes = vec![
            Outcome::Duplicate,
            retry,
            Outcome::Refused,
            Outcome::Applied,
        ];
        let settled = sort(batch).settle(outcomes);
        assert_eq!(settled.next, BTreeMap::from([(P0, 4), (P1, 10)]));
        assert_eq!(settled.failed[&P0].offset, 4);
        assert_eq!(settled.done.len(), 2);
    }

    #[test]
    fn a_partition_whose_first_record_failed_goes_nowhere() {
        let mut poison = held(P0, 3);
        poison.event = Err(DecodeError::MissingHeader("ce_id"));
        let sorted = sort(vec![poison, held(P0, 4), held(P1, 9)]);
        assert_eq!(sorted.firsts(), BTreeMap::from([(P0, 3), (P1, 9)]));
        let settled = sorted.settle(vec![Outcome::Applied]);
        assert_eq!(settled.next, BTreeMap::from([(P1, 10)]));
        assert_eq!(settled.failed[&P0].offset, 3);
    }
}

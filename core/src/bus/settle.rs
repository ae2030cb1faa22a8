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

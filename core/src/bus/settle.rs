//! What a batch and its outcomes mean: what is handled, what is parked, and for the offsets. Pure, so that a simulation can
//! drive it.

use std::collections::{BTreeMap, HashSet};

use super::parking::{Lane, Ledger};
use super::record::{Polled, is_unknown_decision};
use super::role::Outcome;
use super::{Cause, Partition};
use crate::events::{DecodeError, Envelope, RawRecord, Source};
use crate::runtime::guard::{self, Guard};

/// A batch, taken apart: what is to be handled, and what became of the rest.
#[derive(Debug)]
pub struct Sorted {
    /// For the role.
    pub envelopes: Vec<Envelope>,
    /// One per record, in the order of the log.
    places: Vec<Placed>,
    /// Whether later states of a key are handled although an earlier one failed.
    reopens: bool,
}

#[derive(Debug)]
struct Placed {
    source: Source,
    lane: Lane,
    raw: RawRecord,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Its index among the envelopes.
    Handled(usize),
    /// It says nothing to this version of the program.
    Skipped,
    /// It is no event.
    Poison(DecodeError),
    /// An earlier record of its key failed.
    Behind,
}

/// What follows from a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Per partition, the offset after the last record of it, once what is to be parked is.
    pub next: BTreeMap<Partition, i64>,
    /// Records that are dealt with, and how.
    pub done: Vec<(Source, Done)>,
    /// The keys whose records are dealt with, each with the last one's offset; only where later states suffice.
    pub reopened: Vec<(Lane, i64)>,
    /// Records that are to be parked, in the order of the log.
    pub park: Vec<ToPark>,
}

/// How a record was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// By the role: the word for its outcome.
    Handled(&'static str),
    /// It was passed over, since it says nothing to this version of the program.
    Skipped,
}

/// A record that is to be parked.
#[derive(Debug, PartialEq, Eq)]
pub struct ToPark {
    /// Where it stands.
    pub source: Source,
    /// Its lane.
    pub lane: Lane,
    /// As it is.
    pub raw: RawRecord,
    /// Why it failed; `None` if it waits behind one that did.
    pub cause: Option<Cause>,
}

/// Takes a batch apart. What follows a record that can not be read is parked behind it, as is what comes for a key that is closed already.
pub fn sort(records: Vec<Polled>, ledger: &Ledger) -> Sorted {
    let mut sorted = Sorted {
        envelopes: Vec::with_capacity(records.len()),
        places: Vec::with_capacity(records.len()),
        reopens: ledger.reopens(),
    };
    let mut closed = HashSet::new();
    for record in records {
        let lane = record.lane();
        let Polled { source, raw, event } = record;
        let place = match event {
            _ if guard::is_on(Guard::ParkingOrder)
                && (ledger.closes(&lane, source.offset) || closed.contains(&lane)) =>
            {
                Place::Behind
            }
            Ok(event) if is_unknown_decision(&event) => Place::Skipped,
            Ok(event) => {
                sorted.envelopes.push(Envelope { source, event });
                Place::Handled(sorted.envelopes.len() - 1)
            }
            Err(error) => {
                if !sorted.reopens {
                    closed.insert(lane.clone());
                }
                Place::Poison(error)
            }
        };
        sorted.places.push(Placed {
            source,
            lane,
            raw,
            place,
        });
    }
    sorted
}

impl Sorted {
    /// The first offset of every partition in the batch: where it begins again if nothing of it counts.
    pub fn firsts(&self) -> BTreeMap<Partition, i64> {
        let mut firsts = BTreeMap::new();
        for Placed { source, .. } in &self.places {
            firsts
                .entry((source.topic, source.partition))
                .or_insert(source.offset);
        }
        firsts
    }

    /// The lanes of the envelopes, in their order.
    pub fn lanes(&self) -> Vec<&Lane> {
        let handled = self.places.iter();
        handled
            .filter(|placed| matches!(placed.place, Place::Handled(_)))
            .map(|placed| &placed.lane)
            .collect()
    }

    /// What follows from the outcomes, one per envelope.
    pub fn settle(self, outcomes: Vec<Outcome>) -> Settled {
        let mut settled = Settled::default();
        let mut outcomes: Vec<_> = outcomes.into_iter().map(Some).collect();
        let mut closed = HashSet::new();
        for Placed {
            source,
            lane,
            raw,
            place,
        } in self.places
        {
            settled
                .next
                .insert((source.topic, source.partition), source.offset + 1);
            let cause = match place {
                Place::Skipped => {
                    settled.done.push((source, Done::Skipped));
                    continue;
                }
                Place::Behind => None,
                Place::Poison(error) => Some(Cause::of(&error)),
                Place::Handled(index) => match outcomes.get_mut(index).and_then(Option::take) {
                    Some(Outcome::Retry(cause)) => Some(cause),
                    None => Some("the role gave no outcome".into()),
                    Some(outcome) => {
                        settled.done.push((source, Done::Handled(outcome.as_str())));
                        if self.reopens {
                            settled.reopened.push((lane, source.offset));
                        }
                        continue;
                    }
                },
            };
            // Of several that failed only the first is tried: the others wait for it.
            let is_first = self.reopens || closed.insert(lane.clone());
            settled.park.push(ToPark {
                source,
                lane,
                raw,
                cause: cause.filter(|_| is_first),
            });
        }
        settled
    }
}

impl Settled {
    /// Nothing could be parked: no offset passes the first record that was to be. Returns where each partition that has one is read
    /// again from.
    pub fn give_way(&mut self) -> BTreeMap<Partition, i64> {
        let mut stopped = BTreeMap::new();
        for ToPark { source, .. } in self.park.drain(..) {
            let partition = (source.topic, source.partition);
            stopped.entry(partition).or_insert(source.offset);
        }
        for (partition, &first) in &stopped {
            self.next.insert(*partition, first);
        }
        self.done.retain(|(source, _)| {
            stopped
                .get(&(source.topic, source.partition))
                .is_none_or(|first| source.offset < *first)
        });
        stopped
    }
}

#[cfg(test)]
mod tests;

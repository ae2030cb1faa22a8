//! Which keys are closed, which records wait in them, and which of them are due. Pure: no clock, no chance, no server.
//!
//! Records of one key of one partition make a [`Lane`]. A lane with a record in it is closed: what comes later of its key is
//! parked behind, so that order is kept. Only the first record of a lane is tried; when it is out of the way, the next one's turn has come.
//!
//! Where any state makes every earlier one obsolete (`reopens`), no lane is closed: records that can be read are
//! handled at once, each parked one is tried on its own, and is obsolete as soon as a later one was handled.

mod due;
mod record;
#[cfg(test)]
mod tests;

pub use due::Due;
pub use record::{Lane, Parked, State};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::record::{Row, at, given_up};
use super::Retry;
use crate::bus::Partition;
use crate::events::Source;
use crate::runtime::backoff::spread;

/// What follows from a try in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// How often it was tried again in vain.
    pub tries: u32,
    /// How long it waits; `None` if it is given up.
    pub wait: Option<Duration>,
}

#[derive(Debug, Default)]
struct Queue {
    rows: BTreeMap<i64, Row>,
    /// Since when its first record may be tried, if that one waited behind another.
    ready: Option<Instant>,
    /// What of it stands in the agenda.
    planned: Vec<(Instant, Source)>,
}

/// What is parked of the partitions that this process has.
#[derive(Debug)]
pub struct Ledger {
    reopens: bool,
    retry: Retry,
    lanes: HashMap<Arc<Lane>, Queue>,
    places: BTreeMap<Source, Arc<Lane>>,
    /// What is to be done when, in the order of time.
    agenda: BTreeSet<(Instant, Source)>,
}

impl Ledger {
    /// An empty one. In: whether a later state makes every earlier one of its key obsolete; how often to try.
    pub fn new(reopens: bool, retry: Retry) -> Self {
        Self {
            reopens,
            retry,
            lanes: HashMap::new(),
            places: BTreeMap::new(),
            agenda: BTreeSet::new(),
        }
    }

    /// One of the same kind, with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.reopens, self.retry)
    }

    /// How many records are parked.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a later state makes every earlier one of its key obsolete.
    pub fn reopens(&self) -> bool {
        self.reopens
    }

    /// Whether a record of the log has to wait behind a parked one. What stands before the first one was handled before it
    /// failed, and comes again.
    pub fn closes(&self, lane: &Lane, offset: i64) -> bool {
        !self.reopens && self.first(lane).is_some_and(|first| first <= offset)
    }

    fn first(&self, lane: &Lane) -> Option<i64> {
        self.lanes.get(lane)?.rows.keys().next().copied()
    }

    /// A record that failed for the first time: where it is on its way.
    pub fn failing(&self, now: Instant, chance: f64) -> State {
        self.after(0, now, chance)
    }

    fn after(&self, tries: u32, now: Instant, chance: f64) -> State {
        match self.retry.wait(tries) {
            Some(wait) => State::Failing {
                tries,
                due: now + spread(wait, chance),
            },
            None => State::Exhausted { tries, due: now },
        }
    }

    /// Takes in records that are parked for sure. One that is known stays as it is.
    pub fn park(&mut self, records: impl IntoIterator<Item = Parked>, now: Instant) {
        for Parked {
            lane,
            offset,
            bytes,
            state,
        } in records
        {
            let source = at(lane.partition, offset);
            if self.places.contains_key(&source) {
                continue;
            }
            let lane = Arc::new(lane);
            self.places.insert(source, Arc::clone(&lane));
            let queue = self.lanes.entry(Arc::clone(&lane)).or_default();
            let row = Row {
                bytes,
                state: given_up(self.retry, state),
                obsolete: false,
            };
            queue.rows.insert(offset, row);
            self.plan(&lane, now);
        }
    }

    /// A partition is not ours any more.
    pub fn forget(&mut self, partition: Partition) {
        let gone = self.range(partition);
        for source in gone {
            let Some(lane) = self.places.remove(&source) else {
                continue;
            };
            if let Some(queue) = self.lanes.remove(&lane) {
                for entry in queue.planned {
                    self.agenda.remove(&entry);
                }
            }
        }
    }

    /// The parked records of a partition.
    fn range(&self, partition: Partition) -> Vec<Source> {
        let range = at(partition, i64::MIN)..=at(partition, i64::MAX);
        self.places
            .range(range)
            .map(|(source, _)| *source)
            .collect()
    }

    /// Records that are out of the way: handled, dropped, or not there any more.
    pub fn remove(&mut self, sources: impl IntoIterator<Item = Source>, now: Instant) {
        for source in sources {
            let Some(lane) = self.places.remove(&source) else {
                continue;
            };
            if let Some(queue) = self.lanes.get_mut(&lane) {
                queue.rows.remove(&source.offset);
                queue.ready = None;
            }
            self.plan(&lane, now);
        }
    }

    /// A record was tried in vain.
    pub fn failed(&mut self, source: Source, now: Instant, chance: f64) -> Option<Failed> {
        let row = self.row(source)?;
        let tries = match row.state {
            State::Failing { tries, .. } => tries + 1,
            _ => 0,
        };
        let state = if row.obsolete {
            State::Exhausted { tries, due: now }
        } else {
            self.after(tries, now, chance)
        };
        self.set(source, state, now);
        let wait = match state {
            State::Failing { due, .. } => Some(due.saturating_duration_since(now)),
            _ => None,
        };
        Some(Failed { tries, wait })
    }

    /// A record could not be sent to the dead letters: it is tried again after a wait.
    pub fn not_sent(&mut self, source: Source, now: Instant, wait: Duration) {
        let due = now + wait;
        if let Some(State::Leaving { tries }) = self.row(source).map(|row| row.state) {
            self.set(source, State::Exhausted { tries, due }, now);
        }
    }

    /// A record is a dead letter. Whether it can be removed, since a later state was handled; else it stays.
    pub fn sent(&mut self, source: Source, now: Instant) -> bool {
        let Some(row) = self.row(source) else {
            return false;
        };
        self.set(source, State::Dead, now);
        row.obsolete
    }

    /// A later state of the lane was handled: what is parked before it is obsolete. Returns the dead ones among them, which can
    /// be removed at once; each of the others has one more try.
    pub fn supersede(&mut self, lane: &Lane, offset: i64, now: Instant) -> Vec<Source> {
        let mut dead = Vec::new();
        if !self.reopens {
            return dead;
        }
        let Some((lane, queue)) = self.lanes.get_key_value(lane) else {
            return dead;
        };
        let lane = Arc::clone(lane);
        let earlier: Vec<i64> = queue
            .rows
            .range(..offset)
            .map(|(offset, _)| *offset)
            .collect();
        if let Some(queue) = self.lanes.get_mut(&lane) {
            for offset in earlier {
                let Some(row) = queue.rows.get_mut(&offset) else {
                    continue;
                };
                row.obsolete = true;
                match &mut row.state {
                    State::Dead => dead.push(at(lane.partition, offset)),
                    State::Failing { due, .. } => *due = now,
                    State::Behind | State::Exhausted { .. } | State::Leaving { .. } => {}
                }
            }
        }
        self.plan(&lane, now);
        dead
    }

    /// Compares with what is stored of a partition: every record there that is not [`State::Behind`]. An operator may have opened a
    /// lane or dropped a record. Returns how many were dropped, and whether there is something that is not known here.
    pub fn compare(
        &mut self,
        partition: Partition,
        stored: &BTreeMap<i64, State>,
        now: Instant,
    ) -> (usize, bool) {
        let mut dropped = Vec::new();
        for source in self.range(partition) {
            let Some(row) = self.row(source) else {
                continue;
            };
            match (row.state, stored.get(&source.offset)) {
                (State::Behind | State::Leaving { .. }, _) => {}
                (_, None) => dropped.push(source),
                (known, Some(&state)) => {
                    let state = given_up(self.retry, state);
                    // A dead letter that could not be sent keeps its wait.
                    let waits = matches!((known, state), (State::Exhausted { tries, .. }, State::Exhausted { tries: stored, .. }) if tries == stored);
                    if !waits && !row.obsolete {
                        self.set(source, state, now);
                    }
                }
            }
        }
        let count = dropped.len();
        self.remove(dropped, now);
        let unknown = stored
            .keys()
            .any(|offset| !self.places.contains_key(&at(partition, *offset)));
        (count, unknown)
    }

    fn row(&self, source: Source) -> Option<Row> {
        let lane = self.places.get(&source)?;
        self.lanes.get(lane)?.rows.get(&source.offset).copied()
    }

    fn set(&mut self, source: Source, state: State, now: Instant) {
        let Some(lane) = self.places.get(&source).map(Arc::clone) else {
            return;
        };
        if let Some(row) = self
            .lanes
            .get_mut(&lane)
            .and_then(|queue| queue.rows.get_mut(&source.offset))
        {
            row.state = state;
        }
        self.plan(&lane, now);
    }

    /// Writes into the agenda what is to be done about a lane.
    fn plan(&mut self, lane: &Arc<Lane>, now: Instant) {
        let Some(queue) = self.lanes.get_mut(lane) else {
            return;
        };
        for entry in queue.planned.drain(..) {
            self.agenda.remove(&entry);
        }
        if queue.rows.is_empty() {
            self.lanes.remove(lane);
            return;
        }
        let looked_at = if self.reopens { usize::MAX } else { 1 };
        for (&offset, row) in queue.rows.iter().take(looked_at) {
            let due = match row.state {
                State::Behind => *queue.ready.get_or_insert(now),
                State::Failing { due, .. } | State::Exhausted { due, .. } => due,
                State::Leaving { .. } | State::Dead => continue,
            };
            queue.planned.push((due, at(lane.partition, offset)));
        }
        self.agenda.extend(&queue.planned);
    }
}

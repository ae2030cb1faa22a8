//! One member of the group: the worker's loop, cut into steps.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use shop_core::bus::parking::{Ledger, Retry, State};
use shop_core::bus::settle::{Settled, sort};
use shop_core::bus::{Outcome, Partition, Polled};
use shop_core::events::Source;

use super::Site;
use crate::plant::Plant;
use crate::shop::Shop;

const RETRY: Retry = Retry {
    first_wait: Duration::from_secs(1),
    max_elapsed: Duration::from_mins(5),
};

/// A member.
#[derive(Debug)]
pub struct Member {
    number: usize,
    batch: usize,
    reopens: bool,
    ledger: Ledger,
    positions: BTreeMap<Partition, i64>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Polled(Vec<Polled>),
    /// It had its effects; what failed is to be parked.
    Handled(Vec<Polled>, Settled),
    /// The offsets are to be stored.
    Parked(Settled),
    /// Parked records are tried again.
    Trying(Vec<Polled>),
    /// They had their effects; the table does not know yet.
    Tried(Settled),
    /// Letters are sent; the table does not know yet.
    Sent(Vec<Source>),
}

impl Member {
    /// A member that has begun.
    pub fn new(number: usize, batch: usize, reopens: bool) -> Self {
        Self {
            number,
            batch,
            reopens,
            ledger: Ledger::new(reopens, RETRY),
            positions: BTreeMap::new(),
            phase: Phase::Idle,
        }
    }

    /// Whether nothing is in its hands.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// It dies and starts again.
    pub fn crash(&mut self, shop: &mut Shop) {
        shop.note(|| format!("lanes {}: crashes", self.number));
        *self = Self::new(self.number, self.batch, self.reopens);
    }

    /// Reads again from the stored offsets.
    pub fn read_again(&mut self) {
        self.positions.clear();
    }

    /// The next step of the loop.
    pub fn step(&mut self, shop: &mut Shop, site: &mut Site) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => self.begin(shop, site),
            Phase::Polled(batch) => {
                let settled = self.handle(
                    shop,
                    site,
                    batch.clone(),
                    !shop.planted(Plant::ParkingOrder),
                );
                if shop.planted(Plant::ParkLate) {
                    self.store(shop, site, &settled);
                }
                self.phase = Phase::Handled(batch, settled);
            }
            Phase::Handled(batch, settled) => {
                self.park(shop, site, &batch, &settled);
                self.phase = Phase::Parked(settled);
            }
            Phase::Parked(settled) => {
                self.store(shop, site, &settled);
                if !shop.planted(Plant::ParkLate) {
                    site.check_offsets(shop);
                }
                self.supersede(shop, site, &settled);
            }
            Phase::Trying(records) => {
                let settled = self.handle(shop, site, records, false);
                self.phase = Phase::Tried(settled);
            }
            Phase::Tried(settled) => self.note_tries(shop, site, &settled),
            Phase::Sent(letters) => {
                for source in letters {
                    if self.ledger.sent(source, shop.instant()) {
                        site.table.delete(&source);
                        self.ledger.remove([source], shop.instant());
                    } else {
                        site.table.set(source, State::Dead);
                    }
                }
            }
        }
    }

    /// Notices a rebalance and what somebody changed in the table; then tries what is due, or polls.
    fn begin(&mut self, shop: &mut Shop, site: &mut Site) {
        let now = shop.instant();
        let mine: BTreeSet<Partition> = site
            .owners
            .iter()
            .filter(|(_, owner)| **owner == self.number)
            .map(|(partition, _)| *partition)
            .collect();
        let lost: Vec<Partition> = self
            .positions
            .keys()
            .filter(|partition| !mine.contains(*partition))
            .copied()
            .collect();
        for partition in lost {
            self.positions.remove(&partition);
            self.ledger.forget(partition);
        }
        for partition in &mine {
            let is_new = !self.positions.contains_key(partition);
            let stored = site.stored.get(partition).copied().unwrap_or_default();
            self.positions.entry(*partition).or_insert(stored);
            let (_, is_news) = self
                .ledger
                .compare(*partition, &site.table.heads(*partition), now);
            if (is_new || is_news) && !shop.planted(Plant::TakeoverBlind) {
                self.ledger.forget(*partition);
                self.ledger.park(site.table.of(*partition), now);
            }
        }
        let due = self.ledger.due(now, self.batch, usize::MAX);
        if !due.letters.is_empty() {
            shop.note(|| format!("lanes {}: gives up {:?}", self.number, due.letters));
            site.letters.extend(&due.letters);
            self.phase = Phase::Sent(due.letters);
            return; // what was to be tried is due all the same
        }
        let (found, gone): (Vec<_>, Vec<_>) = due
            .tries
            .into_iter()
            .map(|source| (source, site.table.read(&source)))
            .partition(|(_, found)| found.is_some());
        self.ledger
            .remove(gone.into_iter().map(|(source, _)| source), now);
        let found: Vec<Polled> = found.into_iter().filter_map(|(_, found)| found).collect();
        if !found.is_empty() {
            shop.note(|| format!("lanes {}: tries {} again", self.number, found.len()));
            self.phase = Phase::Trying(found);
            return;
        }
        let batch = self.poll(shop, site);
        if !batch.is_empty() {
            shop.note(|| format!("lanes {}: polls {}", self.number, batch.len()));
            self.phase = Phase::Polled(batch);
        }
    }

    fn poll(&mut self, shop: &mut Shop, site: &Site) -> Vec<Polled> {
        let most = shop.rng.usize(1..=self.batch);
        let mut batch = Vec::new();
        let mut partitions: Vec<Partition> = self.positions.keys().copied().collect();
        shop.rng.shuffle(&mut partitions);
        for partition in partitions {
            let log = site.log.get(&partition).map_or(&[][..], Vec::as_slice);
            let position = self.positions.entry(partition).or_default();
            while batch.len() < most
                && let Some(polled) = usize::try_from(*position).ok().and_then(|at| log.get(at))
            {
                batch.push(polled.clone());
                *position += 1;
            }
        }
        batch
    }

    /// Has the role handle a batch, one by one. In: whether keys can be closed.
    fn handle(
        &self,
        shop: &mut Shop,
        site: &mut Site,
        records: Vec<Polled>,
        can_close: bool,
    ) -> Settled {
        let sorted = if can_close {
            sort(records, &self.ledger)
        } else {
            sort(records, &self.ledger.emptied())
        };
        let mut closed = HashSet::new();
        let lanes: Vec<_> = sorted.lanes().into_iter().cloned().collect();
        let mut outcomes = Vec::new();
        for (envelope, lane) in sorted.envelopes.iter().zip(lanes) {
            if closed.contains(&lane) {
                outcomes.push(Outcome::retry("an earlier record of its key failed"));
                continue;
            }
            let key = lane.key.clone().unwrap_or_default();
            let outcome = effect(shop, site, envelope.source, &key);
            if matches!(outcome, Outcome::Retry(_)) && !self.reopens {
                closed.insert(lane);
            }
            outcomes.push(outcome);
        }
        sorted.settle(outcomes)
    }

    /// Parks what failed: first for sure, then in the ledger.
    fn park(&mut self, shop: &mut Shop, site: &mut Site, batch: &[Polled], settled: &Settled) {
        let now = shop.instant();
        for record in &settled.park {
            let state = if record.cause.is_some() {
                self.ledger.failing(now, 0.5)
            } else {
                State::Behind
            };
            let cause = record.cause.as_ref();
            shop.note(|| {
                format!(
                    "lanes {}: parks {:?}: {cause:?}",
                    self.number, record.source
                )
            });
            let polled = batch.iter().find(|polled| polled.source == record.source);
            if let Some(polled) = polled {
                site.table.insert(polled.clone(), state);
            }
            let parked = shop_core::bus::parking::Parked {
                lane: record.lane.clone(),
                offset: record.source.offset,
                bytes: record.raw.bytes(),
                state,
            };
            self.ledger.park([parked], now);
        }
    }

    fn store(&self, shop: &mut Shop, site: &mut Site, settled: &Settled) {
        for (partition, next) in &settled.next {
            if site.owners.get(partition) == Some(&self.number) {
                shop.note(|| format!("lanes {}: stores {partition:?} {next}", self.number));
                site.stored.insert(*partition, *next);
            }
        }
    }

    fn note_tries(&mut self, shop: &mut Shop, site: &mut Site, settled: &Settled) {
        let now = shop.instant();
        for record in &settled.park {
            if record.cause.is_none() {
                continue;
            }
            let Some(failed) = self.ledger.failed(record.source, now, 0.5) else {
                continue;
            };
            let tries = failed.tries;
            let state = match failed.wait {
                Some(wait) => State::Failing {
                    tries,
                    due: now + wait,
                },
                None => State::Exhausted { tries, due: now },
            };
            site.table.set(record.source, state);
        }
        let handled = settled.done.iter().map(|(source, _)| *source);
        for source in handled.clone() {
            site.table.delete(&source);
        }
        self.ledger.remove(handled, now);
        self.supersede(shop, site, settled);
    }

    /// What was parked before a state that was handled is obsolete.
    fn supersede(&mut self, shop: &mut Shop, site: &mut Site, settled: &Settled) {
        let now = shop.instant();
        for (lane, offset) in &settled.reopened {
            for source in self.ledger.supersede(lane, *offset, now) {
                site.table.delete(&source);
                self.ledger.remove([source], now);
            }
        }
    }
}

/// What a record does, or why it does not.
fn effect(shop: &mut Shop, site: &mut Site, source: Source, key: &[u8]) -> Outcome {
    if let Some(left) = site.failing.get_mut(&source).filter(|left| **left > 0) {
        *left -= 1;
        return Outcome::retry("it fails for now");
    }
    let version = site.versions.get(&source).copied().unwrap_or_default();
    let at = site.effects.entry(key.to_vec()).or_default();
    if version <= *at {
        return Outcome::Duplicate;
    }
    let mut expected = *at + 1;
    while site.dropped.contains(&(key.to_vec(), expected)) {
        expected += 1;
    }
    if version != expected && !site.later_states_suffice {
        let what = format!("{source:?} version {version} was handled, {expected} was not");
        shop.violated("records of a key are handled in order", what);
    }
    *at = version;
    Outcome::Applied
}

//! The table of parked records.

use std::collections::BTreeMap;
use std::time::Instant;

use shop_core::bus::parking::{Parked, State};
use shop_core::bus::{Partition, Polled};
use shop_core::events::Source;

/// Parked records and where they are on their way.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<Source, Row>);

#[derive(Debug)]
struct Row {
    polled: Polled,
    state: State,
}

impl Table {
    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record is parked.
    pub fn has(&self, source: &Source) -> bool {
        self.0.contains_key(source)
    }

    /// Parks a record; one that is there stays as it is, unless it only waited and has failed now.
    pub fn insert(&mut self, polled: Polled, state: State) {
        let row = self.0.entry(polled.source).or_insert(Row { polled, state });
        if row.state == State::Behind {
            row.state = state;
        }
    }

    /// Notes where a record is on its way; nothing, if it is gone.
    pub fn set(&mut self, source: Source, state: State) {
        if let Some(row) = self.0.get_mut(&source) {
            row.state = state;
        }
    }

    /// Forgets a record.
    pub fn delete(&mut self, source: &Source) {
        self.0.remove(source);
    }

    /// A record that is there.
    pub fn read(&self, source: &Source) -> Option<Polled> {
        self.0.get(source).map(|row| row.polled.clone())
    }

    /// All that is parked of a partition, as a ledger takes it in.
    pub fn of(&self, partition: Partition) -> Vec<Parked> {
        self.0
            .iter()
            .filter(|(source, _)| (source.topic, source.partition) == partition)
            .map(|(source, row)| Parked {
                lane: row.polled.lane(),
                offset: source.offset,
                bytes: row.polled.raw.bytes(),
                state: row.state,
            })
            .collect()
    }

    /// What of it does not wait behind another, for a comparison.
    pub fn heads(&self, partition: Partition) -> BTreeMap<i64, State> {
        self.0
            .iter()
            .filter(|(source, row)| {
                (source.topic, source.partition) == partition && row.state != State::Behind
            })
            .map(|(source, row)| (source.offset, row.state))
            .collect()
    }

    /// The dead letters.
    pub fn dead(&self) -> Vec<(Source, Polled)> {
        self.0
            .iter()
            .filter(|(_, row)| row.state == State::Dead)
            .map(|(source, row)| (*source, row.polled.clone()))
            .collect()
    }

    /// An operator has a dead letter tried again.
    pub fn redrive(&mut self, source: Source, now: Instant) {
        self.set(source, State::Failing { tries: 0, due: now });
    }
}

//! What is to be done now.

use std::time::Instant;

use super::record::at;
use super::{Ledger, State};
use crate::events::Source;

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Records to be handled again, lane by lane, each lane in order.
    pub tries: Vec<Source>,
    /// Records to be sent to the dead letters; they are on their way from now on.
    pub letters: Vec<Source>,
}

impl Ledger {
    /// When there is something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// What is to be done now: at most so many records, and so many bytes and one record.
    pub fn due(&mut self, now: Instant, most: usize, most_bytes: usize) -> Due {
        let mut due = Due::default();
        let mut room = Room {
            records: most,
            bytes: most_bytes,
        };
        let mut leaving = Vec::new();
        for &(when, source) in &self.agenda {
            if when > now || room.is_full() {
                break;
            }
            let Some(lane) = self.places.get(&source) else {
                continue;
            };
            let Some(queue) = self.lanes.get(lane) else {
                continue;
            };
            let Some(row) = queue.rows.get(&source.offset) else {
                continue;
            };
            room.take(row.bytes);
            if let State::Exhausted { tries, .. } = row.state {
                due.letters.push(source);
                leaving.push((source, State::Leaving { tries }));
                continue;
            }
            due.tries.push(source);
            if self.reopens || row.state != State::Behind {
                continue;
            }
            // It never failed, so nothing speaks against those behind it.
            for (&offset, row) in queue.rows.range(source.offset + 1..) {
                if room.is_full() || row.state != State::Behind {
                    break;
                }
                room.take(row.bytes);
                due.tries.push(at(lane.partition, offset));
            }
        }
        for (source, state) in leaving {
            self.set(source, state, now);
        }
        due
    }
}

/// How much more may be taken.
struct Room {
    records: usize,
    bytes: usize,
}

impl Room {
    fn is_full(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

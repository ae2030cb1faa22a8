//! Which partitions wait, from which offset, and until when. Pure: the loop pauses, seeks and resumes as it says here.
//!
//! While a partition is held, none of its records is handled; when its time has come, it is read again from the offset it is
//! held at. While the store is away, every partition is held as soon as a record of it comes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::events::{Source, Topic};
use crate::runtime::Backoff;

/// A partition of a topic.
pub(super) type Partition = (Topic, i32);

/// How soon a step that failed on our side is tried again.
const SOON: Duration = Duration::from_millis(200);

/// The partitions that wait.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: HashMap<Partition, Hold>,
    /// Held since they were asked for last.
    fresh: Vec<Partition>,
    /// Records that failed, by partition, until they are handled.
    troubles: HashMap<Partition, Trouble>,
    /// The store's back-off, and until when it is left alone.
    store: Backoff,
    store_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    from: i64,
    until: Instant,
}

#[derive(Debug)]
struct Trouble {
    offset: i64,
    backoff: Backoff,
}

impl Holds {
    /// Whether a record may be handled now. If not, its partition is held, from it or from before it.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> bool {
        let partition = (source.topic, source.partition);
        let until = match (self.held.get(&partition), self.store_until) {
            (Some(hold), _) => hold.until,
            (None, Some(until)) if until > now => until,
            _ => return true,
        };
        self.hold(partition, source.offset, until);
        false
    }

    /// The store is away: the partitions are read again from these offsets, and nothing is handled before. Returns how long
    /// that is.
    pub(super) fn store_is_away(
        &mut self,
        firsts: impl IntoIterator<Item = (Partition, i64)>,
        now: Instant,
    ) -> Duration {
        let wait = self.store.next();
        self.store_until = Some(now + wait);
        for (partition, from) in firsts {
            self.hold(partition, from, now + wait);
        }
        wait
    }

    /// The store has answered. Returns whether it was away.
    pub(super) fn store_answers(&mut self) -> bool {
        let was_away = self.store.tries() > 0;
        self.store.reset();
        self.store_until = None;
        was_away
    }

    /// A record failed: its partition is read again from there. Returns how long it waits.
    pub(super) fn record_failed(
        &mut self,
        partition: Partition,
        offset: i64,
        now: Instant,
    ) -> Duration {
        let trouble = self
            .troubles
            .entry(partition)
            .and_modify(|trouble| {
                if trouble.offset != offset {
                    *trouble = Trouble {
                        offset,
                        backoff: Backoff::new(),
                    };
                }
            })
            .or_insert_with(|| Trouble {
                offset,
                backoff: Backoff::new(),
            });
        let wait = trouble.backoff.next();
        self.hold(partition, offset, now + wait);
        wait
    }

    /// A partition was handled up to, not including, an offset.
    pub(super) fn handled(&mut self, partition: Partition, next: i64) {
        if self
            .troubles
            .get(&partition)
            .is_some_and(|trouble| trouble.offset < next)
        {
            self.troubles.remove(&partition);
        }
    }

    /// Reads a partition again from an offset at once.
    pub(super) fn read_again(&mut self, partition: Partition, from: i64, now: Instant) {
        self.hold(partition, from, now);
    }

    fn hold(&mut self, partition: Partition, from: i64, until: Instant) {
        if let Some(hold) = self.held.get_mut(&partition) {
            hold.from = hold.from.min(from);
            hold.until = hold.until.max(until);
        } else {
            self.held.insert(partition, Hold { from, until });
            self.fresh.push(partition);
        }
    }

    /// The partitions that are held since this was asked last: they are to be paused.
    pub(super) fn take_fresh(&mut self) -> Vec<Partition> {
        std::mem::take(&mut self.fresh)
    }

    /// When the next partition's time comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.values().map(|hold| hold.until).min()
    }

    /// The partitions whose time has come, with the offset to read from. They stay held until they are released.
    pub(super) fn due(&self, now: Instant) -> Vec<(Partition, i64)> {
        let due = self.held.iter().filter(|(_, hold)| hold.until <= now);
        due.map(|(partition, hold)| (*partition, hold.from))
            .collect()
    }

    /// A partition is read again from the offset it was held at.
    pub(super) fn release(&mut self, partition: Partition) {
        self.held.remove(&partition);
    }

    /// A partition could not be set back yet.
    pub(super) fn postpone(&mut self, partition: Partition, now: Instant) {
        if let Some(hold) = self.held.get_mut(&partition) {
            hold.until = now + SOON;
        }
    }

    /// A partition is not ours any more. Whoever has it begins at the offset that was committed, and so do we if it comes back.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.held.remove(&partition);
        self.troubles.remove(&partition);
        self.fresh.retain(|fresh| *fresh != partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P0: Partition = (Topic::Orders, 0);
    const P1: Partition = (Topic::Orders, 1);

    fn at(partition: Partition, offset: i64) -> Source {
        Source {
            topic: partition.0,
            partition: partition.1,
            offset,
        }
    }

    #[test]
    fn a_failed_record_holds_its_partition_alone_and_longer_each_time() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let first = holds.record_failed(P0, 7, now);
        assert!(!holds.admit(at(P0, 8), now) && holds.admit(at(P1, 3), now));
        assert_eq!(holds.take_fresh(), [P0]);
        assert_eq!(
            (holds.due(now), holds.due(now + first)),
            (vec![], vec![(P0, 7)])
        );
        holds.release(P0);
        assert!(
            holds.admit(at(P0, 7), now),
            "a released partition is handled"
        );
        assert!(
            holds.record_failed(P0, 7, now) > first,
            "the second wait is longer"
        );
        holds.release(P0);
        holds.handled(P0, 8);
        assert!(
            holds.record_failed(P0, 9, now) < Duration::from_millis(1_300),
            "another record starts anew"
        );
    }

    #[test]
    fn while_the_store_is_away_every_partition_is_held_from_its_first_record() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let wait = holds.store_is_away([(P0, 5)], now);
        assert!(!holds.admit(at(P1, 2), now) && !holds.admit(at(P1, 3), now));
        let mut due = holds.due(now + wait);
        due.sort_unstable();
        assert_eq!(due, [(P0, 5), (P1, 2)]);
        holds.release(P0);
        holds.release(P1);
        assert!(
            holds.admit(at(P1, 2), now + wait),
            "its time is over: the next batch tries"
        );
        assert!(holds.store_is_away([(P1, 2)], now) > wait);
        assert!(holds.store_answers() && !holds.store_answers());
    }

    #[test]
    fn the_smallest_offset_and_the_longest_wait_win() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let wait = holds.record_failed(P0, 9, now);
        holds.read_again(P0, 4, now);
        assert_eq!(
            (holds.due(now), holds.due(now + wait)),
            (vec![], vec![(P0, 4)])
        );
    }

    #[test]
    fn a_lost_partition_starts_anew() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        holds.record_failed(P0, 9, now);
        holds.forget(P0);
        assert!(holds.admit(at(P0, 4), now) && holds.take_fresh().is_empty());
    }
}

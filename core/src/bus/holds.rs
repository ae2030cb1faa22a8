//! Which partitions wait, from which offset, and until when. Pure: the loop pauses, seeks and resumes as it says here.
//!
//! While a partition is held, none of its records is handled; when its time has come, it is read again from the offset it is
//! held at. While the store is away, every partition is held as soon as a record of it comes; a partition that is stopped, since
//! what fails of it has nowhere to go, is held in the same way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Partition;
use crate::events::Source;
use crate::runtime::Backoff;

/// How soon a step that failed on our side is tried again.
const SOON: Duration = Duration::from_millis(200);

/// The partitions that wait.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: HashMap<Partition, Hold>,
    /// Held since they were asked for last.
    fresh: Vec<Partition>,
    /// Partitions that are stopped, and why.
    stops: HashMap<(Partition, Trouble), Stop>,
    /// The store's back-off, and until when it is left alone.
    store: Backoff,
    store_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    from: i64,
    until: Instant,
}

/// Why a partition is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trouble {
    /// It is not known which of its keys are closed.
    Loading,
    /// What failed can not be parked.
    Parking,
    /// A record can not be sent to the dead letters.
    DeadLetters,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::Loading, Self::Parking, Self::DeadLetters];
}

#[derive(Debug)]
struct Stop {
    until: Instant,
    backoff: Backoff,
}

impl Holds {
    /// Whether a record may be handled now. If not, its partition is held, from it or from before it.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> bool {
        let partition = (source.topic, source.partition);
        let stops = Trouble::ALL
            .into_iter()
            .filter_map(|trouble| self.stopped_until(partition, trouble, now));
        let until = match (
            self.held.get(&partition),
            stops.chain(self.store_until).max(),
        ) {
            (Some(hold), _) => hold.until,
            (None, Some(until)) if until > now => until,
            _ => return true,
        };
        self.hold(partition, source.offset, until);
        false
    }

    /// Until when a partition is stopped for a reason. Letting it flow is how parking is tried again; a dead letter is tried
    /// again by itself, so that is over when it is over.
    fn stopped_until(
        &self,
        partition: Partition,
        trouble: Trouble,
        now: Instant,
    ) -> Option<Instant> {
        let until = self.stops.get(&(partition, trouble))?.until;
        match trouble {
            Trouble::DeadLetters => Some(until.max(now + SOON)),
            Trouble::Loading | Trouble::Parking => Some(until),
        }
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

    /// Until when the store is left alone, if it is away.
    pub(super) fn store_until(&self) -> Option<Instant> {
        self.store_until
    }

    /// A partition is stopped: it goes on from an offset, if one is known, or from its next record. Returns how long that is.
    pub(super) fn stop(
        &mut self,
        partition: Partition,
        trouble: Trouble,
        from: Option<i64>,
        now: Instant,
    ) -> Duration {
        let stop = self.stops.entry((partition, trouble)).or_insert(Stop {
            until: now,
            backoff: Backoff::new(),
        });
        let wait = stop.backoff.next();
        stop.until = now + wait;
        if let Some(from) = from {
            self.hold(partition, from, now + wait);
        }
        wait
    }

    /// A partition is stopped until then; who says so has a back-off of their own.
    pub(super) fn stop_until(&mut self, partition: Partition, trouble: Trouble, until: Instant) {
        let backoff = Backoff::new();
        self.stops
            .insert((partition, trouble), Stop { until, backoff });
    }

    /// How much longer a partition is stopped for a reason.
    pub(super) fn stopped_for(
        &self,
        partition: Partition,
        trouble: Trouble,
        now: Instant,
    ) -> Option<Duration> {
        let stop = self.stops.get(&(partition, trouble))?;
        Some(stop.until.saturating_duration_since(now))
    }

    /// What stopped a partition is over.
    pub(super) fn overcome(&mut self, partition: Partition, trouble: Trouble) {
        self.stops.remove(&(partition, trouble));
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
        self.stops.retain(|(stopped, _), _| *stopped != partition);
        self.fresh.retain(|fresh| *fresh != partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Topic;

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
    fn a_stopped_partition_is_held_alone_and_longer_each_time() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let first = holds.stop(P0, Trouble::Parking, Some(7), now);
        assert!(!holds.admit(at(P0, 8), now) && holds.admit(at(P1, 3), now));
        assert_eq!(holds.take_fresh(), [P0]);
        assert_eq!(
            (holds.due(now), holds.due(now + first)),
            (vec![], vec![(P0, 7)])
        );
        holds.release(P0);
        assert!(
            holds.admit(at(P0, 7), now + first),
            "a released partition is handled"
        );
        assert!(
            holds.stop(P0, Trouble::Parking, Some(7), now) > first,
            "the second wait is longer"
        );
        holds.release(P0);
        holds.overcome(P0, Trouble::Parking);
        assert!(
            holds.stop(P0, Trouble::Parking, Some(9), now) < Duration::from_millis(1_300),
            "another trouble starts anew"
        );
    }

    #[test]
    fn a_partition_that_is_stopped_without_an_offset_is_held_at_its_next_record() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let wait = holds.stop(P0, Trouble::DeadLetters, None, now);
        assert!(holds.take_fresh().is_empty());
        assert!(!holds.admit(at(P0, 5), now));
        assert_eq!(holds.due(now + wait), [(P0, 5)]);
        holds.release(P0);
        assert!(
            !holds.admit(at(P0, 5), now + 2 * wait),
            "nobody says that it is over"
        );
        // Another trouble that is over changes nothing about this one.
        holds.release(P0);
        holds.overcome(P0, Trouble::Parking);
        assert!(!holds.admit(at(P0, 5), now));
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
        let wait = holds.stop(P0, Trouble::Parking, Some(9), now);
        holds.read_again(P0, 4, now);
        assert_eq!(
            (holds.due(now), holds.due(now + wait)),
            (vec![], vec![(P0, 4)])
        );
    }

    #[test]
    fn a_lost_partition_starts_anew() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        holds.stop(P0, Trouble::Parking, Some(9), now);
        holds.forget(P0);
        assert!(holds.admit(at(P0, 4), now) && holds.take_fresh().is_empty());
    }
}

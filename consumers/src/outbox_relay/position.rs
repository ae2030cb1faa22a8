//! Where in the outbox an unsent event can still appear. Pure.
//!
//! A sequence number is given before its transaction commits, so a row can appear below one that was sent long ago. Reading
//! *everything* unsent finds it, but walks over all index entries of marked rows that `InnoDB` has not purged, and an open
//! transaction somewhere keeps it from purging: the poll would slow down with every event sent. A position knows which numbers were
//! never seen: those are read again and again, one by one, until they appear or no transaction can be left that holds them;
//! what is known to be sent is passed over by the index (ADR 0040).

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// For how long a transaction can stay open that holds a number. `MYSQL_TIMEOUT`, which bounds ours, is a minute at most.
pub const HORIZON: Duration = Duration::from_mins(10);
/// Ranges that one statement names, at most. More are joined with their neighbours: more to read, nothing missed.
const MOST_HOLES: usize = 128;

/// The numbers under which an unsent row is, or can still appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Below the tail, rising, never touching each other.
    holes: Vec<Hole>,
    /// From here on nothing is known.
    tail: u64,
}

/// Numbers that were not seen as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    from: u64,
    to: u64,
    since: Instant,
}

impl Position {
    /// Nothing is known: all that is unsent is read, wherever it is.
    pub const fn unknown() -> Self {
        Self {
            holes: Vec::new(),
            tail: 0,
        }
    }

    /// All numbers up to one are known to be sent, or to be nobody's.
    pub const fn after(settled: u64) -> Self {
        Self {
            holes: Vec::new(),
            tail: settled + 1,
        }
    }

    /// The number from which on nothing is known.
    pub const fn tail(&self) -> u64 {
        self.tail
    }

    /// Where to look, rising; the last one has no end.
    pub fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let holes = self.holes.iter().map(|hole| hole.from..=hole.to);
        holes.chain(std::iter::once(self.tail..=u64::MAX)).collect()
    }

    /// These numbers, rising, are known to be sent. What was passed over on the way to a number beyond the tail becomes a
    /// hole.
    pub fn sent(&mut self, seqs: &[u64], now: Instant) {
        for &seq in seqs {
            if seq >= self.tail {
                if seq > self.tail {
                    self.holes.push(Hole {
                        from: self.tail,
                        to: seq - 1,
                        since: now,
                    });
                }
                self.tail = seq + 1;
            } else {
                self.fill(seq);
            }
        }
        self.join_nearest();
    }

    /// Everything up to a number was looked at, and what was not sent is still unknown.
    pub fn seen_up_to(&mut self, last: u64, now: Instant) {
        if last >= self.tail {
            self.holes.push(Hole {
                from: self.tail,
                to: last,
                since: now,
            });
            self.tail = last + 1;
        }
        self.join_nearest();
    }

    /// Unsent rows are in a range below the tail, against all expectation.
    pub fn reopen(&mut self, range: &RangeInclusive<u64>, now: Instant) {
        let mut reopened = Hole {
            from: *range.start(),
            to: (*range.end()).min(self.tail.saturating_sub(1)),
            since: now,
        };
        if reopened.from > reopened.to {
            return;
        }
        self.holes.retain(|hole| {
            let touches = hole.from <= reopened.to + 1 && reopened.from <= hole.to + 1;
            if touches {
                reopened.from = reopened.from.min(hole.from);
                reopened.to = reopened.to.max(hole.to);
            }
            !touches
        });
        let place = self.holes.partition_point(|hole| hole.from < reopened.from);
        self.holes.insert(place, reopened);
        self.join_nearest();
    }

    /// A look found all that there was: holes that are older than any open transaction stay empty for ever.
    pub fn found_all(&mut self, now: Instant) {
        self.holes
            .retain(|hole| now.duration_since(hole.since) < HORIZON);
    }

    /// Takes one number out of the hole that it is in.
    fn fill(&mut self, seq: u64) {
        let place = self.holes.partition_point(|hole| hole.to < seq);
        let Some(hole) = self.holes.get_mut(place).filter(|hole| hole.from <= seq) else {
            return;
        };
        let (before, after) = (
            Hole {
                to: seq.saturating_sub(1),
                ..*hole
            },
            Hole {
                from: seq + 1,
                ..*hole
            },
        );
        let left = [before, after]
            .into_iter()
            .zip([hole.from < seq, seq < hole.to])
            .filter_map(|(part, is_left)| is_left.then_some(part));
        let left: Vec<Hole> = left.collect();
        self.holes.splice(place..=place, left);
    }

    /// Joins the holes with the fewest known numbers between them until one statement can name them all.
    fn join_nearest(&mut self) {
        while self.holes.len() > MOST_HOLES {
            let between = |place: &usize| self.holes[place + 1].from - self.holes[*place].to;
            let Some(place) = (0..self.holes.len() - 1).min_by_key(between) else {
                return;
            };
            let next = self.holes.remove(place + 1);
            let hole = &mut self.holes[place];
            hole.to = next.to;
            hole.since = hole.since.max(next.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn holes(position: &Position) -> Vec<(u64, u64)> {
        position
            .holes
            .iter()
            .map(|hole| (hole.from, hole.to))
            .collect()
    }

    #[test]
    fn what_was_passed_over_is_looked_for_until_it_is_sent() {
        let now = Instant::now();
        let mut position = Position::after(10);
        position.sent(&[11, 14, 16], now);
        assert_eq!(holes(&position), [(12, 13), (15, 15)]);
        assert_eq!(position.ranges(), [12..=13, 15..=15, 17..=u64::MAX]);
        position.sent(&[12, 15, 17], now);
        assert_eq!(position.ranges(), [13..=13, 18..=u64::MAX]);
    }

    #[test]
    fn a_number_from_the_middle_leaves_two_holes() {
        let now = Instant::now();
        let mut position = Position::after(0);
        position.seen_up_to(9, now);
        position.sent(&[5], now);
        assert_eq!(holes(&position), [(1, 4), (6, 9)]);
    }

    #[test]
    fn a_hole_is_given_up_only_after_the_horizon() {
        let now = Instant::now();
        let mut position = Position::after(0);
        position.sent(&[2], now);
        let later = now + HORIZON;
        position.found_all(now);
        assert_eq!(holes(&position), [(1, 1)]);
        position.found_all(later);
        assert_eq!(position.ranges(), [3..=u64::MAX]);
    }

    #[test]
    fn reopened_numbers_join_the_holes_they_touch() {
        let now = Instant::now();
        let mut position = Position::after(100);
        position.reopen(&(10..=20), now);
        position.reopen(&(30..=40), now);
        position.reopen(&(21..=25), now);
        assert_eq!(holes(&position), [(10, 25), (30, 40)]);
        position.reopen(&(5..=1_000), now);
        assert_eq!(holes(&position), [(5, 100)]);
    }

    #[test]
    fn holes_are_bounded_and_joining_them_loses_no_number() {
        let now = Instant::now();
        let mut position = Position::after(0);
        let seqs: Vec<u64> = (1..=2_000).map(|n| n * 2).collect();
        position.sent(&seqs, now);
        assert_eq!(position.holes.len(), MOST_HOLES);
        let ranges = position.ranges();
        assert!(
            (1..4_000)
                .step_by(2)
                .all(|odd| ranges.iter().any(|range| range.contains(&odd)))
        );
    }

    /// Transactions that commit in any order, or never: every committed row is read, no row twice, and never a row before one that was
    /// committed earlier with a smaller number.
    #[test]
    fn whatever_commits_when_each_row_is_found_at_the_next_look() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let now = Instant::now();
            let mut position = Position::unknown();
            let mut given = 0;
            let (mut open, mut unsent) = (Vec::new(), BTreeSet::new());
            for _ in 0..200 {
                match random.u8(..4) {
                    0 => {
                        given += random.u64(1..4);
                        open.push(given);
                    }
                    1 if !open.is_empty() => {
                        let committed = open.swap_remove(random.usize(..open.len()));
                        unsent.insert(committed);
                    }
                    2 if !open.is_empty() => {
                        open.swap_remove(random.usize(..open.len()));
                    }
                    _ => {
                        let ranges = position.ranges();
                        let visible = |seq: &&u64| ranges.iter().any(|range| range.contains(*seq));
                        let limit = random.usize(1..5);
                        let found: Vec<u64> =
                            unsent.iter().filter(visible).take(limit).copied().collect();
                        let all: Vec<u64> = unsent.iter().take(limit).copied().collect();
                        assert_eq!(found, all, "seed {seed}: {position:?}");
                        unsent.retain(|seq| !found.contains(seq));
                        position.sent(&found, now);
                        if found.len() < limit {
                            position.found_all(now);
                        }
                    }
                }
            }
        }
    }
}

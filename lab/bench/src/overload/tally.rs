//! What became of the requests of one load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Order, Outcome};
use super::mix::{Kind, Request};

/// Orders of one load that are asked for again, at most.
const AGAIN: usize = 100;
/// Every so many orders are kept to be asked for again.
const EVERY: usize = 50;

/// What became of the requests of one kind. Times are in microseconds.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// How long those took that were served.
    pub served: Vec<u32>,
    /// How long it took to tell the others that the server is full.
    pub refused: Vec<u32>,
    /// How many were neither.
    pub failed: usize,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How long it was offered.
    pub lasting: Duration,
    /// By what was asked for.
    pub kinds: BTreeMap<Kind, Figures>,
    /// What went wrong, and how often.
    pub failures: BTreeMap<String, usize>,
    /// Orders that were acknowledged.
    pub orders: Vec<Order>,
    /// Some of them, with the requests that placed them.
    pub again: Vec<(Arc<[u8]>, Order)>,
    /// Requests for orders of which nobody knows whether they were placed.
    pub unknown: Vec<Arc<[u8]>>,
    /// Orders that were not placed although nothing is in the way, and why.
    pub surprises: Vec<String>,
    /// Requests that were due and not sent: every connection was in use.
    pub unsent: usize,
    /// How late the others were sent, in microseconds.
    pub late: Vec<u32>,
}

impl Tally {
    /// Notes what became of a request.
    pub fn note(&mut self, kind: Kind, outcome: &Outcome, took: Duration) {
        let figures = self.kinds.entry(kind).or_default();
        match outcome {
            Outcome::Served => figures.served.push(micros(took)),
            Outcome::Refused => figures.refused.push(micros(took)),
            Outcome::Failed(what) => {
                figures.failed += 1;
                *self.failures.entry(what.clone()).or_default() += 1;
            }
        }
    }

    /// Notes an order that was acknowledged.
    pub fn acknowledge(&mut self, request: &Request, order: Order) {
        if self.orders.len().is_multiple_of(EVERY) && self.again.len() < AGAIN {
            self.again.push((Arc::clone(&request.bytes), order.clone()));
        }
        self.orders.push(order);
    }

    /// What became of several loads, as if they were one; without their orders.
    pub fn of_all<'a>(loads: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for load in loads {
            all.lasting += load.lasting;
            for (kind, figures) in &load.kinds {
                let sum = all.kinds.entry(*kind).or_default();
                sum.served.extend(&figures.served);
                sum.refused.extend(&figures.refused);
                sum.failed += figures.failed;
            }
            for (what, times) in &load.failures {
                *all.failures.entry(what.clone()).or_default() += times;
            }
            all.unsent += load.unsent;
            all.late.extend(&load.late);
        }
        all
    }

    /// How many were due, sent or not.
    pub fn due(&self) -> usize {
        self.late.len() + self.unsent
    }

    /// How many were served.
    pub fn served(&self) -> usize {
        self.count(|figures| figures.served.len())
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.count(|figures| figures.refused.len())
    }

    /// How many were neither.
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    fn count(&self, of: impl Fn(&Figures) -> usize) -> usize {
        self.kinds.values().map(of).sum()
    }

    /// How many were served in a second.
    pub fn rate(&self) -> f64 {
        crate::goal::figure(self.served()) / self.lasting.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The times of all kinds together.
    pub fn times(&self, of: impl Fn(&Figures) -> &Vec<u32>) -> Vec<u32> {
        self.kinds.values().flat_map(|it| of(it).clone()).collect()
    }
}

/// The smallest of these times that so many of a hundred do not exceed, in milliseconds.
pub(super) fn percentile(times: &[u32], percent: usize) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    let micros = times.get(rank - 1).copied()?;
    Some(f64::from(micros) / 1_000.0)
}

/// In microseconds, an hour at most.
pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<u32> = (1..=200).rev().map(|ms| ms * 1_000).collect();
        assert_eq!(percentile(&times, 99), Some(198.0));
        assert_eq!(percentile(&times, 100), Some(200.0));
        assert_eq!(percentile(&[7_000], 50), Some(7.0));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn what_is_served_counts_by_the_second() {
        let mut tally = Tally {
            lasting: Duration::from_secs(2),
            ..Tally::default()
        };
        for outcome in [
            Outcome::Served,
            Outcome::Served,
            Outcome::Refused,
            Outcome::Failed("UNAVAILABLE".to_owned()),
        ] {
            tally.note(Kind::Order, &outcome, Duration::from_millis(3));
        }
        assert_eq!((tally.served(), tally.refused(), tally.failed()), (2, 1, 1));
        assert!((tally.rate() - 1.0).abs() < f64::EPSILON);
        assert_eq!(tally.failures["UNAVAILABLE"], 1);

        let both = Tally::of_all([&tally, &tally].into_iter());
        assert_eq!((both.served(), both.refused(), both.failed()), (4, 2, 2));
        assert!((both.rate() - 1.0).abs() < f64::EPSILON);
    }
}

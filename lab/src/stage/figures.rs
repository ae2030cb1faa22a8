//! How long each hop took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// A part of an order's journey that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// From sending `createOrder` to its answer.
    CreateAnswered,
    /// From sending `createOrder` to the PENDING frame.
    CreatePending,
    /// From sending `createOrder` to the CONFIRMED frame.
    CreateConfirmed,
    /// From sending `createOrder` to the REJECTED frame.
    CreateRejected,
    /// From sending `payOrder` to its PAID frame.
    PayPaid,
    /// From sending `updateOrderStatus` to the PROCESSING frame.
    UpdateProcessing,
    /// To the SHIPPED frame.
    UpdateShipped,
    /// To the DELIVERED frame.
    UpdateDelivered,
    /// From sending `cancelOrder` to the CANCELED frame.
    CancelCanceled,
    /// From sending the query `order` to its answer, while others change orders.
    OrderQueried,
    /// From the CONFIRMED frame to the CANCELED frame of an order that nobody paid.
    UnpaidCanceled,
}

impl Hop {
    /// What tables and reports call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateAnswered => "createOrder -> answer",
            Self::CreatePending => "createOrder -> PENDING frame",
            Self::CreateConfirmed => "createOrder -> CONFIRMED frame",
            Self::CreateRejected => "createOrder -> REJECTED frame",
            Self::PayPaid => "payOrder -> PAID frame",
            Self::UpdateProcessing => "updateOrderStatus -> PROCESSING frame",
            Self::UpdateShipped => "updateOrderStatus -> SHIPPED frame",
            Self::UpdateDelivered => "updateOrderStatus -> DELIVERED frame",
            Self::CancelCanceled => "cancelOrder -> CANCELED frame",
            Self::OrderQueried => "query order -> answer",
            Self::UnpaidCanceled => "CONFIRMED, unpaid -> CANCELED frame",
        }
    }
}

impl Serialize for Hop {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A summary of measured times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many were measured.
    pub samples: usize,
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
}

/// What was measured. A copy writes into the same figures.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Mutex<BTreeMap<Hop, Vec<Duration>>>>);

impl Figures {
    /// Notes how long a hop took.
    pub fn note(&self, hop: Hop, took: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(hop)
            .or_default()
            .push(took);
    }

    /// Forgets all but these hops.
    pub fn forget_but(&self, hops: &[Hop]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|hop, _| hops.contains(hop));
    }

    /// Each hop that was measured.
    pub fn summaries(&self) -> BTreeMap<Hop, Summary> {
        let hops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hops.iter()
            .filter_map(|(hop, times)| Some((*hop, summary(times)?)))
            .collect()
    }
}

fn summary(times: &[Duration]) -> Option<Summary> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let last = *times.last()?;
    // The smallest time that this share of all does not exceed.
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(last)
    };
    Some(Summary {
        samples: times.len(),
        p50: millis(at(50)),
        p99: millis(at(99)),
        max: millis(last),
    })
}

/// In milliseconds, to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let summary = summary(&times).expect("times");
        assert_eq!(
            (summary.samples, summary.p50, summary.p99, summary.max),
            (200, 100.0, 198.0, 200.0)
        );
    }

    #[test]
    fn one_time_is_every_percentile_and_none_is_none() {
        let one = summary(&[Duration::from_micros(1_260)]).expect("one");
        assert_eq!((one.p50, one.p99, one.max), (1.3, 1.3, 1.3));
        assert_eq!(summary(&[]), None);
    }
}

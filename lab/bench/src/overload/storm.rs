//! A storm beside what lies on both its sides: the calm, and the peak. The machine's speed moves, and a shop with more orders is slower,
//! so nothing is compared that lies further apart.

use std::time::Duration;

use serde::Serialize;

use super::mix::Kind;
use super::tally::{Tally, percentile};
use crate::goal::figure;

/// What so many clients were served, who ask again as soon as they are answered.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// How many clients asked again and again.
    pub clients: usize,
    /// Requests served in a second.
    pub served_per_second: f64,
    /// Requests refused in a second.
    pub refused_per_second: f64,
    /// Requests that were neither.
    pub failed: usize,
    /// Half of those served took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 of 100 of those served took no longer.
    pub p99_ms: Option<f64>,
}

impl Step {
    /// What became of the requests of so many clients.
    pub fn new(clients: usize, tally: &Tally) -> Self {
        let times = tally.times(|figures| &figures.served);
        Self {
            clients,
            served_per_second: tally.rate(),
            refused_per_second: figure(tally.refused()) / tally.lasting.as_secs_f64(),
            failed: tally.failed(),
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
        }
    }
}

/// Processor time in a storm, in cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cores {
    /// This process, which makes the storm.
    pub generator: f64,
    /// The API.
    pub api: f64,
}

/// A storm, and what lies on both its sides.
#[derive(Debug)]
pub(super) struct Storm {
    /// How many clients ask at the peak.
    pub clients: usize,
    /// The peak before it, for as long as the storm lasts.
    pub peak_before: Tally,
    /// A quarter of the peak, before it.
    pub before: Tally,
    /// Requests a second in it.
    pub offered: f64,
    /// The storm itself.
    pub load: Tally,
    /// The same quarter of the peak, a second after it.
    pub after: Tally,
    /// The peak after it.
    pub peak_after: Tally,
    /// Processor time in it.
    pub cores: Cores,
}

impl Storm {
    /// What became of all requests.
    pub fn tallies(&self) -> [&Tally; 5] {
        let Self {
            peak_before,
            before,
            load,
            after,
            peak_after,
            ..
        } = self;
        [peak_before, before, load, after, peak_after]
    }

    /// Beside what lies on both its sides.
    pub fn compared(&self) -> Compared {
        let (load, after) = (&self.load, &self.after);
        let peaks = [&self.peak_before, &self.peak_after].map(|peak| Step::new(self.clients, peak));
        let mean =
            |of: fn(&Tally) -> f64| f64::midpoint(of(&self.peak_before), of(&self.peak_after));
        let times = p99(after).zip(p99(&self.before));
        Compared {
            offered: self.offered,
            offered_beside_the_peaks: share(self.offered, mean(Tally::rate)),
            served: load.rate(),
            beside_the_peaks: share(load.rate(), mean(Tally::rate)),
            orders_beside_the_peaks: share(orders(load), mean(orders)),
            peak_after: share(self.peak_after.rate(), self.peak_before.rate()),
            refused_p99_ms: percentile(&load.times(|figures| &figures.refused), 99),
            sent: share(figure(load.late.len()), figure(load.due())),
            failed: load.failed() + peaks.iter().map(|peak| peak.failed).sum::<usize>(),
            not_served_after: after.refused() + after.failed() + after.unsent,
            p99_before_ms: p99(&self.before),
            p99_after_ms: p99(after),
            p99_after: times.and_then(|(after, before)| share(after, before)),
            cores: self.cores,
            peaks,
        }
    }
}

/// What a storm came to beside what lies on both its sides.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compared {
    /// The peak before it and after it.
    pub peaks: [Step; 2],
    /// Requests a second that were offered.
    pub offered: f64,
    /// The same beside the mean of both peaks.
    pub offered_beside_the_peaks: Option<f64>,
    /// Requests served in a second.
    pub served: f64,
    /// The same beside the mean of both peaks.
    pub beside_the_peaks: Option<f64>,
    /// Orders that were placed in a second, beside the mean of both peaks.
    pub orders_beside_the_peaks: Option<f64>,
    /// The peak after it beside that before it.
    pub peak_after: Option<f64>,
    /// 99 of 100 who were refused knew it after so many milliseconds.
    pub refused_p99_ms: Option<f64>,
    /// How much of what was due was sent.
    pub sent: Option<f64>,
    /// Requests that were neither served nor refused, in it or at the peaks.
    pub failed: usize,
    /// A second after it, requests at a quarter of the peak that were not served.
    pub not_served_after: usize,
    /// 99 of 100 requests at a quarter of the peak took no longer before it, in milliseconds.
    pub p99_before_ms: Option<f64>,
    /// The same a second after it.
    pub p99_after_ms: Option<f64>,
    /// The latter beside the former.
    pub p99_after: Option<f64>,
    /// Processor time in it.
    pub cores: Cores,
}

/// How many times the one the other is.
pub(super) fn share(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then_some(part / of)
}

/// The middle one; of an even number the smaller of both.
pub(super) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len().checked_sub(1)? / 2).copied()
}

fn p99(tally: &Tally) -> Option<f64> {
    percentile(&tally.times(|figures| &figures.served), 99)
}

fn orders(tally: &Tally) -> f64 {
    let placed = tally.kinds.get(&Kind::CreateOrder);
    let placed = placed.map_or(0, |figures| figures.served.len());
    figure(placed) / tally.lasting.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Processor time as cores.
pub(super) fn cores(cpu: Duration, lasting: Duration) -> f64 {
    cpu.as_secs_f64() / lasting.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_middle_one_is_no_mean() {
        assert_eq!(median(vec![3.0, 100.0, 1.0]), Some(3.0));
        assert_eq!(median(vec![2.0, 1.0]), Some(1.0));
        assert_eq!(median(Vec::new()), None);
    }
}

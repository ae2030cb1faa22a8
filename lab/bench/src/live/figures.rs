//! What was measured, and its medians over the rounds.

use serde::Serialize;

use super::measure::{Measured, Told};
use super::{Case, Kind};

/// What was measured in every round.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures(Vec<(Kind, Case, Measured)>);

/// Medians of one server in one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// Who served.
    pub server: Kind,
    /// What was subscribed to.
    pub case: Case,
    /// Frames of all rounds.
    pub frames: usize,
    /// The server's processor time per frame; none if nothing was published.
    pub cpu_us_per_frame: Option<f64>,
    /// The same by round.
    pub cpu_us_per_frame_by_round: Vec<f64>,
    /// The payload's bytes.
    pub bytes_per_frame: Option<f64>,
    /// From publishing to the first frame of a version.
    pub first_ms: Option<f64>,
    /// Until half of them were there.
    pub median_ms: Option<f64>,
    /// To the last.
    pub last_ms: Option<f64>,
    /// What an idle subscriber takes of the server's memory.
    pub bytes_per_subscriber: f64,
    /// The same by round.
    pub bytes_per_subscriber_by_round: Vec<f64>,
    /// How long it took to open all subscribers.
    pub opening_s: f64,
}

impl Figures {
    /// Notes a measurement.
    pub fn note(&mut self, server: Kind, case: Case, measured: Measured) {
        self.0.push((server, case, measured));
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A server's medians in a case, if that was measured.
    pub fn row(&self, server: Kind, case: Case) -> Option<Row> {
        let of_row = |it: &&(Kind, Case, Measured)| it.0 == server && it.1 == case;
        let measured = self.0.iter().filter(of_row).map(|(_, _, it)| it);
        let measured: Vec<&Measured> = measured.collect();
        let told: Vec<&Told> = measured.iter().flat_map(|it| &it.told).collect();
        let by_round = |figure: fn(&Measured) -> Option<f64>| -> Vec<f64> {
            measured.iter().filter_map(|it| figure(it)).collect()
        };
        let of_told = |figure: fn(&Told) -> f64| median(told.iter().map(|it| figure(it)).collect());
        let (cpu, memory) = (by_round(cpu_per_frame), by_round(bytes_per_subscriber));
        Some(Row {
            server,
            case,
            frames: told.iter().map(|it| it.frames).sum(),
            cpu_us_per_frame: median(cpu.clone()),
            cpu_us_per_frame_by_round: cpu,
            bytes_per_frame: of_told(|it| ratio(it.bytes, it.frames).unwrap_or_default()),
            first_ms: of_told(|it| millis(it.first)),
            median_ms: of_told(|it| millis(it.median)),
            last_ms: of_told(|it| millis(it.last)),
            bytes_per_subscriber: median(memory.clone())?,
            bytes_per_subscriber_by_round: memory,
            opening_s: median(by_round(|it| Some(it.opening.as_secs_f64())))?,
        })
    }
}

fn cpu_per_frame(measured: &Measured) -> Option<f64> {
    let frames: usize = measured.told.iter().map(|told| told.frames).sum();
    (frames > 0).then(|| measured.cpu.as_secs_f64() * 1e6 / float(frames))
}

fn bytes_per_subscriber(measured: &Measured) -> Option<f64> {
    ratio(usize::try_from(measured.grown).ok()?, measured.subscribers)
}

fn ratio(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| float(part) / float(of))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes here are far below 2^52"
)]
const fn float(count: usize) -> f64 {
    count as f64
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle one, or the mean of the two in the middle.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = figures.len() / 2;
    let high = *figures.get(upper)?;
    let low = if figures.len().is_multiple_of(2) {
        figures[upper - 1]
    } else {
        high
    };
    Some(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn measured(cpu_ms: u64, grown: u64) -> Measured {
        let ms = Duration::from_millis;
        let told = Told {
            frames: 10,
            bytes: 5_000,
            first: ms(1),
            median: ms(2),
            last: ms(3),
        };
        Measured {
            subscribers: 10,
            opening: ms(500),
            grown,
            cpu: ms(cpu_ms),
            told: vec![told; 2],
        }
    }

    #[test]
    fn a_row_has_medians_of_its_own_rounds() {
        let mut figures = Figures::default();
        for (cpu_ms, grown) in [(40, 1_000), (20, 3_000), (900, 2_000)] {
            figures.note(Kind::Ours, Case::OneOrder, measured(cpu_ms, grown));
        }
        figures.note(Kind::Node, Case::OneOrder, measured(1, 1));
        let row = figures.row(Kind::Ours, Case::OneOrder).expect("a row");
        assert_eq!(row.frames, 60);
        assert_eq!(row.cpu_us_per_frame_by_round, [2_000.0, 1_000.0, 45_000.0]);
        assert_eq!(row.cpu_us_per_frame, Some(2_000.0));
        assert_eq!(row.bytes_per_subscriber.to_bits(), 200.0_f64.to_bits());
        assert_eq!(row.bytes_per_frame, Some(500.0));
        assert_eq!(row.last_ms, Some(3.0));
        assert_eq!(figures.row(Kind::Plain, Case::OneOrder), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![3.0, 1.0, 9.0]), Some(3.0));
    }
}

//! What a run found out: a table for people, `target/demo.json` for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::options::{Mode, Options};
use crate::check::Violation;
use crate::stage::figures::{Figures, Hop, Summary};

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which scenario.
    pub mode: &'static str,
    /// Orders in the tables at the end.
    pub orders: usize,
    /// How many of them ended in which status.
    pub statuses: BTreeMap<String, usize>,
    /// Orders whose `createOrder` was never answered.
    pub unknown_orders: usize,
    /// What came instead of those answers, and how often.
    pub lost_answers: BTreeMap<String, usize>,
    /// Frames that subscribers received.
    pub frames: usize,
    /// How often a subscriber had to connect again.
    pub reconnects: usize,
    /// How many promises were broken.
    pub violations: usize,
    /// Each of them.
    pub violation_list: Vec<Violation>,
    /// From sending `payOrder` to its PAID frame, one order at a time. Not measured in other scenarios.
    pub mutation_to_frame_ms: Option<Summary>,
    /// From sending `createOrder` to its CONFIRMED frame, one order at a time.
    pub mutation_to_confirmed_ms: Option<Summary>,
    /// Every hop that was measured.
    pub hops: BTreeMap<Hop, Summary>,
    /// From the end of the disturbance (or of the last order) until nothing was under way any more.
    pub converged_seconds: Option<f64>,
    /// How often each program was killed.
    pub kills: BTreeMap<String, u32>,
    /// How long no frame came after the sending relay was stopped.
    pub take_over_seconds: Option<f64>,
    /// What else the scenario has to say.
    pub notes: Vec<String>,
    /// Faults that were planted for the check to find.
    pub planted: Vec<String>,
}

impl Report {
    /// An empty report with what was measured.
    pub fn new(options: &Options, figures: &Figures) -> Self {
        let summaries = figures.summaries();
        let find = |hop: Hop| {
            let measured = options.mode == Mode::Journey;
            summaries.get(&hop).filter(|_| measured).copied()
        };
        Self {
            mode: options.mode.as_str(),
            orders: 0,
            statuses: BTreeMap::new(),
            unknown_orders: 0,
            lost_answers: BTreeMap::new(),
            frames: 0,
            reconnects: 0,
            violations: 0,
            violation_list: Vec::new(),
            mutation_to_frame_ms: find(Hop::PayPaid),
            mutation_to_confirmed_ms: find(Hop::CreateConfirmed),
            hops: summaries,
            converged_seconds: None,
            kills: BTreeMap::new(),
            take_over_seconds: None,
            notes: Vec::new(),
            planted: Vec::new(),
        }
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// If the file can not be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, json).with_context(|| format!("failed to write {}", file.display()))
    }

    /// The table, with a line break at its end.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<40} {:>6} {:>9} {:>9} {:>9}",
            "hop, in ms", "n", "p50", "p99", "max"
        );
        for (hop, summary) in &self.hops {
            let (
                hop,
                Summary {
                    samples,
                    p50,
                    p99,
                    max,
                },
            ) = (hop.as_str(), summary);
            let _ = writeln!(
                text,
                "{hop:<40} {samples:>6} {p50:>9.1} {p99:>9.1} {max:>9.1}"
            );
        }
        let statuses: Vec<String> = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{count} {status}"))
            .collect();
        let Self {
            orders,
            frames,
            reconnects,
            ..
        } = self;
        let _ = writeln!(text, "\n{orders} orders: {}", statuses.join(", "));
        let _ = writeln!(text, "{frames} frames received, {reconnects} reconnects");
        if self.unknown_orders > 0 {
            let unknown = self.unknown_orders;
            let _ = writeln!(text, "{unknown} orders sent of which no answer came");
        }
        for (instead, times) in &self.lost_answers {
            let _ = writeln!(text, "  {times} times: {instead}");
        }
        if !self.kills.is_empty() {
            let kills: Vec<String> = self
                .kills
                .iter()
                .map(|(program, times)| format!("{program} {times}"))
                .collect();
            let _ = writeln!(text, "killed: {}", kills.join(", "));
        }
        if let Some(seconds) = self.take_over_seconds {
            let _ = writeln!(text, "the second relay took over after {seconds:.1} s");
        }
        if let Some(seconds) = self.converged_seconds {
            let _ = writeln!(text, "quiet after {seconds:.1} s");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        for planted in &self.planted {
            let _ = writeln!(text, "planted: {planted}");
        }
        for violation in &self.violation_list {
            let _ = writeln!(text, "VIOLATION {violation}");
        }
        let _ = writeln!(text, "{} violations", self.violations);
        text
    }
}

/// In seconds, to a tenth.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

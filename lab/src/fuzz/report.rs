//! What a run found out: a table for people, `target/fuzz.json` for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::board::{Finding, Heard, Pages};
use super::health::Held;
use super::options::Options;
use crate::live::goal::{Goal, Should};

/// How many open files more than after the warm-up are no leak: connections to servers come and go.
const FILES: usize = 16;
/// Memory that may come in any case.
const KIB: usize = 16 * 1024;
/// Findings that are told, at most; the file has more.
const TOLD: usize = 20;
/// Characters of each that are told.
const SHORT: usize = 600;

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What all cases were made from.
    pub seed: u64,
    /// Cases that were played.
    pub cases: usize,
    /// Cases in a second.
    pub per_second: usize,
    /// By how they talk.
    pub played: BTreeMap<&'static str, usize>,
    /// Statuses and codes that were heard.
    pub heard: BTreeMap<String, Heard>,
    /// What the API held after the warm-up.
    pub warm: Held,
    /// What it held at the end.
    pub end: Held,
    /// Each goal.
    pub goals: Vec<Goal>,
    /// What must not be.
    pub findings: Vec<Finding>,
}

impl Report {
    /// From what was played, and what the API held after the warm-up and at the end.
    pub fn new(options: &Options, pages: Pages, took: Duration, warm: Held, end: Held) -> Self {
        let cases = pages.played.values().sum();
        let seconds = usize::try_from(took.as_secs()).unwrap_or(usize::MAX).max(1);
        let kib = |kib: u64| usize::try_from(kib).unwrap_or(usize::MAX);
        let more = kib(end.kib.saturating_sub(warm.kib));
        let goals = vec![
            Goal::new("findings", pages.found, Should::Be(0)),
            Goal::new(
                "KiB of memory more than after the warm-up",
                more,
                Should::BeAtMost(kib(warm.kib) / 10 + KIB),
            ),
            Goal::new(
                "open files more than after the warm-up",
                end.files.saturating_sub(warm.files),
                Should::BeAtMost(FILES),
            ),
        ];
        let played = pages.played.iter();
        Self {
            seed: options.seed,
            cases,
            per_second: cases / seconds,
            played: played
                .map(|(kind, count)| (kind.as_str(), *count))
                .collect(),
            heard: pages.heard,
            warm,
            end,
            goals,
            findings: pages.findings,
        }
    }

    /// Whether every goal was reached.
    pub fn is_good(&self) -> bool {
        self.goals.iter().all(|goal| goal.reached)
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
        for (kind, count) in &self.played {
            let _ = writeln!(text, "  {kind:<28} {count:>9} cases");
        }
        for (word, heard) in &self.heard {
            let (times, first) = (heard.times, heard.first);
            let _ = writeln!(text, "  {word:<28} {times:>9} times, first in case {first}");
        }
        for finding in self.findings.iter().take(TOLD) {
            let _ = writeln!(text, "FINDING {}", finding.what);
            if let Some(case) = finding.case {
                let seed = self.seed;
                let sent: String = finding.sent.chars().take(SHORT).collect();
                let _ = writeln!(text, "  again: make fuzz SEED={seed} CASE={case}\n  {sent}");
            }
        }
        let (warm, end) = (self.warm, self.end);
        let _ = writeln!(
            text,
            "the API held {} KiB and {} files after the warm-up, {} KiB and {} files at the end",
            warm.kib, warm.files, end.kib, end.files
        );
        for goal in &self.goals {
            let verdict = if goal.reached { "reached" } else { "MISSED " };
            let _ = writeln!(text, "{verdict} {goal}");
        }
        let (cases, rate, seed) = (self.cases, self.per_second, self.seed);
        let _ = writeln!(text, "{cases} cases, {rate} a second, SEED={seed}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_may_grow_by_a_tenth_and_some() {
        let options = Options {
            lasting: Duration::from_mins(1),
            seed: 7,
            case: None,
        };
        let held = |kib, files| Held { kib, files };
        for (end, good) in [
            (held(100_000, 40), true),
            (held(126_384, 56), true),
            (held(126_385, 40), false),
            (held(90_000, 57), false),
        ] {
            let took = Duration::from_secs(10);
            let pages = Pages::default();
            let report = Report::new(&options, pages, took, held(100_000, 40), end);
            assert_eq!(report.is_good(), good, "{}", report.table());
        }
    }
}

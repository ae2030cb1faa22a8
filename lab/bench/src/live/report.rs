//! What a run found out: a table for people, `target/bench-live.json` for programs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::figures::{Figures, Row};
use super::goals::{Goal, goals};
use super::{Options, ROUND};

/// What one has to know to read the figures.
const NOTES: [&str; 5] = [
    "medians over rounds; CPU is the server's alone, all its threads, from before the first publication to after the last frame",
    "first, median and last frame of a version: from handing its records to Kafka's client (ours) or from telling the server by a line (others)",
    "the plain broadcast sends the bytes that the API sent one subscriber; each of the API's subscribers has an operation id of its own",
    "no server pings here; memory is (resident with subscribers - resident of the fresh process) / subscribers",
    "clients and servers share this machine's cores; Node has one thread",
];

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Subscribers at once.
    pub subscribers: usize,
    /// How often everything was measured.
    pub rounds: usize,
    /// Each server in each case.
    pub rows: Vec<Row>,
    /// Each goal.
    pub goals: Vec<Goal>,
    /// What one has to know to read them.
    pub notes: Vec<&'static str>,
}

impl Report {
    /// From what was measured.
    pub fn new(options: &Options, figures: &Figures) -> anyhow::Result<Self> {
        let row = |(kind, case)| {
            let row = figures.row(kind, case);
            row.with_context(|| format!("{kind:?} was not measured in case {case:?}"))
        };
        Ok(Self {
            subscribers: options.subscribers,
            rounds: options.rounds,
            rows: ROUND.into_iter().map(row).collect::<Result<_, _>>()?,
            goals: goals(figures),
            notes: NOTES.to_vec(),
        })
    }

    /// Whether every goal was reached.
    pub fn is_good(&self) -> bool {
        self.goals.iter().all(|goal| goal.reached)
    }

    /// Writes it for programs.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("failed to write {}", file.display()))
    }

    /// Writes it for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} subscribers, {} rounds\n\n",
            self.subscribers, self.rounds
        );
        let _ = writeln!(
            text,
            "{:<16} {:<16} {:>8} {:>12} {:>8} {:>9} {:>9} {:>8} {:>14} {:>8}",
            "server",
            "case",
            "frames",
            "CPU us/frame",
            "first ms",
            "median ms",
            "last ms",
            "bytes",
            "KiB/subscriber",
            "opened s",
        );
        for row in &self.rows {
            let _ = writeln!(
                text,
                "{:<16} {:<16} {:>8} {:>12} {:>8} {:>9} {:>9} {:>8} {:>14.2} {:>8.1}",
                row.server.as_str(),
                row.case.as_str(),
                row.frames,
                figure(row.cpu_us_per_frame, 2),
                figure(row.first_ms, 1),
                figure(row.median_ms, 1),
                figure(row.last_ms, 1),
                figure(row.bytes_per_frame, 0),
                row.bytes_per_subscriber / 1024.0,
                row.opening_s,
            );
        }
        let _ = writeln!(text);
        for goal in &self.goals {
            let _ = writeln!(
                text,
                "{:<7} {:<56} {:>7} {} (at most {})",
                if goal.reached { "reached" } else { "MISSED" },
                goal.what,
                figure(goal.measured, 2),
                goal.unit,
                goal.at_most,
            );
        }
        let _ = writeln!(text);
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

/// A figure with so many decimals, or a dash.
fn figure(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
}

//! The report: lines for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{Finding, Severity};

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line per change, then the counts.
    Text,
    /// One object: base, head, counts, changes.
    Json,
}

/// All changes from one version to another.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was compared with.
    pub base: String,
    /// What was compared.
    pub head: String,
    /// How many changes break clients.
    pub breaking: usize,
    /// How many may surprise them.
    pub dangerous: usize,
    /// How many nobody notices.
    pub safe: usize,
    /// Each of them, the worst first.
    pub changes: Vec<Finding>,
}

impl Report {
    /// Counts the findings.
    pub fn new(base: &str, head: &str, changes: Vec<Finding>) -> Self {
        let count = |severity| {
            changes
                .iter()
                .filter(|change| change.severity == severity)
                .count()
        };
        Self {
            base: base.to_owned(),
            head: head.to_owned(),
            breaking: count(Severity::Breaking),
            dangerous: count(Severity::Dangerous),
            safe: count(Severity::Safe),
            changes,
        }
    }

    /// The exit code of the check: 1 if a client breaks, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.breaking > 0)
    }

    /// The report's text, with a line break at its end.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => {
                let json = serde_json::to_string_pretty(self);
                json.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
            }
            Format::Text => self.lines(),
        }
    }

    fn lines(&self) -> String {
        let width = self
            .changes
            .iter()
            .map(|c| c.coordinate.len())
            .max()
            .unwrap_or(0)
            .min(60);
        let mut text = String::new();
        for Finding {
            severity,
            coordinate,
            change,
            reason,
        } in &self.changes
        {
            let severity = severity.as_str();
            let _ = writeln!(
                text,
                "{severity:<9}  {coordinate:<width$}  {change}: {reason}"
            );
        }
        let Self {
            base,
            head,
            breaking,
            dangerous,
            safe,
            ..
        } = self;
        let verdict = if *breaking > 0 {
            "clients break"
        } else {
            "no client breaks"
        };
        let _ = writeln!(
            text,
            "{verdict}: {breaking} breaking, {dangerous} dangerous, {safe} safe changes from {base} to {head}"
        );
        text
    }
}

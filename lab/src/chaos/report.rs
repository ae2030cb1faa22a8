//! What the suite found out: a table for people, `target/chaos.json` for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::back::{End, Gap, OTHER, SAME};
use super::scene::Done;
use crate::check::Violation;

/// How many violations of one row are written down.
const SHOWN: usize = 5;

/// How much a check looked at.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Checked {
    /// Users, products, orders and stock levels in the tables.
    pub rows: usize,
    /// Records in the topics.
    pub records: usize,
    /// Documents.
    pub views: usize,
    /// Acknowledged mutations.
    pub answers: usize,
    /// Frames that subscribers received.
    pub frames: usize,
}

impl Checked {
    /// All of it.
    pub const fn facts(self) -> usize {
        self.rows + self.records + self.views + self.answers + self.frames
    }
}

/// The invariants that every check looks at, by their numbers in the design.
pub const INVARIANTS: [u8; 10] = [1, 2, 3, 4, 5, 6, 8, 9, 10, 12];

/// A fault and what became of it.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// Its name.
    pub fault: String,
    /// How often it was injected.
    pub injected: u32,
    /// Orders on their way at each injection: least, mean, most.
    pub in_flight: (usize, f64, usize),
    /// How much was checked.
    pub checked: Checked,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// From the end of the trouble until nothing was under way.
    pub healed_seconds: Option<f64>,
    /// How long killed programs' places were empty.
    #[serde(serialize_with = "gaps_in_words")]
    pub gaps: Vec<Gap>,
    /// A figure of the fault's own.
    pub remark: Option<String>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Row {
    /// A row about what was done.
    pub fn new(fault: &str, done: &Done) -> Self {
        let flights = &done.in_flight;
        let sum: usize = flights.iter().sum();
        Self {
            fault: fault.to_owned(),
            injected: done.times,
            in_flight: (
                flights.iter().copied().min().unwrap_or(0),
                ratio(sum, flights.len()),
                flights.iter().copied().max().unwrap_or(0),
            ),
            remark: done.remark.clone(),
            ..Self::default()
        }
    }
}

impl Row {
    /// What became of it, as soon as it is known.
    pub fn line(&self) -> String {
        let Self {
            fault,
            injected,
            seconds,
            ..
        } = self;
        let count = self.violations.len();
        let mut text = format!("{fault}: {injected} times, {count} violations, {seconds:.0} s");
        for violation in self.violations.iter().take(SHOWN) {
            let _ = write!(text, "\n  {violation}");
        }
        text
    }
}

/// A guard that was left out, and whether anything showed it.
#[derive(Debug, Default, Serialize)]
pub struct ControlRow {
    /// The guard.
    pub guard: String,
    /// Whether the check saw it.
    pub caught: bool,
    /// The invariants that were broken.
    pub by: Vec<u8>,
    /// One of the broken promises.
    pub example: Option<String>,
    /// How many there were.
    pub violations: usize,
    /// Why it could not be run.
    pub trouble: Option<String>,
    /// How long all of it took.
    pub seconds: f64,
}

impl ControlRow {
    /// Whether it was caught, and by which check.
    pub fn line(&self) -> String {
        let verdict = match (&self.trouble, self.caught) {
            (Some(trouble), _) => format!("COULD NOT BE RUN: {trouble}"),
            (None, false) => "NOT CAUGHT".to_owned(),
            (None, true) => {
                let example = self.example.as_deref().unwrap_or_default();
                let by: Vec<String> = self.by.iter().map(u8::to_string).collect();
                format!(
                    "caught {} times, by invariants {}: {}",
                    self.violations,
                    by.join(" "),
                    short(example)
                )
            }
        };
        format!("without {:<22} {verdict}", self.guard)
    }
}

/// The result of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The line that repeats its faults.
    pub again: String,
    /// What was drawn from.
    pub seed: u64,
    /// The invariants that were checked after each fault.
    pub invariants: Vec<u8>,
    /// Faults.
    pub faults: Vec<Row>,
    /// Guards.
    pub controls: Vec<ControlRow>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Report {
    /// Whether every promise was kept, and every missing guard was noticed.
    pub fn is_good(&self) -> bool {
        self.faults
            .iter()
            .all(|row| row.violations.is_empty() && row.injected > 0)
            && self.controls.iter().all(|row| row.caught)
            && !(self.faults.is_empty() && self.controls.is_empty())
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
            "{:<36} {:>8} {:>9} {:>9} {:>10} {:>8}  remark",
            "fault", "injected", "in flight", "checked", "violations", "healed s"
        );
        for row in &self.faults {
            let (least, mean, most) = row.in_flight;
            let healed = row
                .healed_seconds
                .map_or("never".to_owned(), |s| format!("{s:.1}"));
            let _ = writeln!(
                text,
                "{:<36} {:>8} {:>9} {:>9} {:>10} {:>8}  {}",
                row.fault,
                row.injected,
                format!("{least}-{mean:.0}-{most}"),
                row.checked.facts(),
                row.violations.len(),
                healed,
                remark(row),
            );
        }
        let _ = writeln!(
            text,
            "in flight: orders at the injections, least-mean-most; checked: rows, records, views, answers and frames\n\
             against invariants {:?}, all of the shop's, after each fault\n",
            self.invariants
        );
        for row in &self.controls {
            let _ = writeln!(text, "{}", row.line());
        }
        for row in &self.faults {
            for violation in row.violations.iter().take(SHOWN) {
                let _ = writeln!(text, "VIOLATION {}: {violation}", row.fault);
            }
            let more = row.violations.len().saturating_sub(SHOWN);
            if more > 0 {
                let _ = writeln!(text, "VIOLATION {}: and {more} more", row.fault);
            }
        }
        let violations: usize = self.faults.iter().map(|row| row.violations.len()).sum();
        let caught = self.controls.iter().filter(|row| row.caught).count();
        let _ = writeln!(
            text,
            "{} faults, {violations} violations; {caught} of {} controls caught; {:.0} s; again: {}",
            self.faults.len(),
            self.controls.len(),
            self.seconds,
            self.again
        );
        text
    }
}

fn remark(row: &Row) -> String {
    let mut parts: Vec<String> = row.remark.iter().cloned().collect();
    for (who, bound) in [("back at work", SAME), ("a relay led", OTHER)] {
        let filled = row.gaps.iter().filter(|gap| gap.end == End::AtWork);
        let gaps = filled.filter(|gap| gap.bound == bound);
        let mut took: Vec<Duration> = gaps.map(|gap| gap.took).collect();
        took.sort_unstable();
        if let (Some(most), Some(half)) = (took.last(), took.get(took.len() / 2)) {
            parts.push(format!(
                "{who} after {:.1} s, at most {:.1} s",
                half.as_secs_f64(),
                most.as_secs_f64()
            ));
        }
    }
    let mut longer: Vec<&Gap> = row.gaps.iter().filter(|gap| gap.is_longer()).collect();
    longer.sort_by_key(|gap| std::cmp::Reverse(gap.took));
    for gap in longer.iter().take(SHOWN) {
        let seconds = gap.took.as_secs_f64();
        let took = match gap.end {
            End::AtWork => format!("after {seconds:.1} s"),
            End::NothingToDo => format!("not in the {seconds:.1} s that records came"),
            End::Never => "not at all".to_owned(),
        };
        parts.push(format!(
            "{} {took}, while the host withheld {:.0} %",
            gap.label, gap.withheld
        ));
    }
    let more = longer.len().saturating_sub(SHOWN);
    if more > 0 {
        parts.push(format!("and {more} more took longer than they should"));
    }
    let withheld = row.gaps.iter().map(|gap| gap.withheld).fold(0.0, f64::max);
    if withheld >= 1.0 {
        parts.push(format!("the host withheld up to {withheld:.0} % meanwhile"));
    }
    parts.join("; ")
}

/// A line that fits a screen.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 160 {
        return line.to_owned();
    }
    line.chars().take(159).chain(['…']).collect()
}

fn gaps_in_words<S: serde::Serializer>(gaps: &[Gap], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct InWords<'a> {
        label: &'a str,
        end: End,
        seconds: f64,
        /// How much of them the host let this machine run: what the bound is for.
        granted_seconds: f64,
        bound_seconds: f64,
        /// How many times longer it may be here.
        slower: f64,
        /// How many percent of the processors the host withheld meanwhile.
        withheld_percent: f64,
    }
    serializer.collect_seq(gaps.iter().map(|gap| InWords {
        label: &gap.label,
        end: gap.end,
        seconds: gap.took.as_secs_f64(),
        granted_seconds: gap.granted.as_secs_f64(),
        bound_seconds: gap.bound.as_secs_f64(),
        slower: gap.slower,
        withheld_percent: gap.withheld,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "a number of orders is small")]
fn ratio(sum: usize, count: usize) -> f64 {
    if count == 0 {
        0.0
    } else {
        sum as f64 / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_by_who_filled_them_and_the_long_ones_by_name() {
        let gap = |label: &str, end, seconds, bound, withheld| Gap {
            label: label.to_owned(),
            end,
            took: Duration::from_secs_f64(seconds),
            granted: Duration::from_secs_f64(seconds * (1.0 - withheld / 100.0)),
            bound,
            slower: 3.0,
            withheld,
        };
        let saga = gap("order-saga-2", End::AtWork, 3.7, SAME, 40.0);
        assert!(saga.is_longer() && !saga.is_longer_than(saga.bound_here()));
        let row = Row {
            gaps: vec![
                gap("api", End::AtWork, 0.5, SAME, 0.0),
                gap("projector", End::AtWork, 0.4, SAME, 0.0),
                saga,
                gap("order-saga", End::AtWork, 2.5, SAME, 62.0),
                gap("outbox-relay", End::AtWork, 2.5, OTHER, 0.4),
                gap("projector-2", End::NothingToDo, 1.5, SAME, 0.0),
                gap("projector-2", End::NothingToDo, 2.5, SAME, 0.0),
                gap("api-2", End::Never, 30.0, SAME, 0.0),
            ],
            ..Row::default()
        };
        assert_eq!(
            remark(&row),
            "back at work after 2.5 s, at most 3.7 s; a relay led after 2.5 s, at most 2.5 s; \
             api-2 not at all, while the host withheld 0 %; \
             order-saga-2 after 3.7 s, while the host withheld 40 %; \
             projector-2 not in the 2.5 s that records came, while the host withheld 0 %; \
             the host withheld up to 62 % meanwhile"
        );
    }

    #[test]
    fn a_run_is_good_only_if_all_was_injected_kept_and_caught() {
        let fine = || Report {
            faults: vec![Row {
                injected: 1,
                ..Row::default()
            }],
            controls: vec![ControlRow {
                caught: true,
                ..ControlRow::default()
            }],
            ..Report::default()
        };
        assert!(fine().is_good());
        assert!(!Report::default().is_good(), "nothing was done");
        let mut never = fine();
        never.faults[0].injected = 0;
        let mut broken = fine();
        broken.faults[0]
            .violations
            .push(Violation::new(3, "x", "y"));
        let mut missed = fine();
        missed.controls[0].caught = false;
        for bad in [never, broken, missed] {
            assert!(!bad.is_good(), "{}", bad.table());
        }
    }
}

//! What a run found out: a table for people, `target/live.json` for programs.

use std::fmt::{Display, Write as _};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::goal::Goal;
use super::judge::Tally;
use super::kill::Part;
use super::options::Options;
use super::roll::Roll;
use super::slow::Round;
use crate::check::Violation;

/// The result of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Which scenario.
    pub mode: &'static str,
    /// Subscribers of one order each.
    pub subscribers: usize,
    /// Where copies were killed: with cursors, and without.
    pub parts: Vec<Part>,
    /// Where copies were rolled: copy by copy.
    pub rolls: Vec<Roll>,
    /// What subscribers were told meanwhile.
    pub told: Option<Tally>,
    /// Where a client was slow: round by round.
    pub rounds: Vec<Round>,
    /// Where tokens ran out: each figure beside its goal.
    pub goals: Vec<Goal>,
    /// What else the scenario has to say.
    pub notes: Vec<String>,
    /// How many promises were broken.
    pub violations: usize,
    /// Each of them.
    pub violation_list: Vec<Violation>,
}

impl Report {
    /// An empty report.
    pub fn new(options: &Options) -> Self {
        Self {
            mode: options.mode.as_str(),
            subscribers: options.subscribers,
            ..Self::default()
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
        for part in &self.parts {
            part_table(&mut text, part);
        }
        roll_table(&mut text, &self.rolls);
        if let Some(told) = &self.told {
            tally_table(&mut text, told);
        }
        round_table(&mut text, &self.rounds);
        goal_table(&mut text, &self.goals);
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        for violation in &self.violation_list {
            let _ = writeln!(text, "VIOLATION {violation}");
        }
        let _ = writeln!(text, "{} violations", self.violations);
        text
    }
}

fn line(text: &mut String, what: &str, figure: impl Display) {
    let _ = writeln!(text, "  {what:<52} {figure:>9}");
}

fn part_table(text: &mut String, part: &Part) {
    let _ = writeln!(text, "{}", part.name);
    line(text, "subscribers of one order", part.subscribers);
    line(text, "orders", part.orders);
    line(text, "copies killed, one after the other", part.kills);
    line(text, "seconds that each was away", part.away_seconds);
    line(text, "steps of orders", part.steps);
    let quietest = part.steps_in_the_quietest_second;
    line(text, "steps in the quietest second of an outage", quietest);
    line(text, "connections lost", part.connections_lost);
    line(text, "tries to connect in vain", part.failed_tries);
    tally_table(text, &part.tally);
}

fn tally_table(text: &mut String, told: &Tally) {
    line(text, "items told to subscribers", told.items);
    line(
        text,
        "  of them MISSED, told after the event",
        told.caught_up,
    );
    line(text, "versions missed", told.missed);
    line(text, "  by so many subscribers", told.missed_by);
    line(text, "versions told twice", told.doubled);
    line(text, "items out of order", told.disordered);
    line(text, "items that are not true", told.untrue);
    line(text, "items told to followers of all", told.feed_items);
    line(
        text,
        "  of them repeats, which are allowed",
        told.feed_repeats,
    );
    line(text, "versions missed by followers", told.feed_missed);
    text.push('\n');
}

fn roll_table(text: &mut String, rolls: &[Roll]) {
    if rolls.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{:<8} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7} {:>9} {:>10}  % in each half second",
        "copy",
        "clients",
        "endings",
        "not 1001",
        "p0 ms",
        "p50 ms",
        "p100 ms",
        "ready s",
        "withheld %"
    );
    for roll in rolls {
        let shares = roll.shares.iter().map(|share| format!("{share:.0}"));
        let _ = writeln!(
            text,
            "{:<8} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7} {:>9.1} {:>10.0}  {}",
            roll.copy,
            roll.clients,
            roll.endings,
            roll.without_goodbye,
            roll.first_ms,
            roll.half_ms,
            roll.last_ms,
            roll.ready_seconds,
            roll.withheld,
            shares.collect::<Vec<_>>().join(" ")
        );
    }
}

fn goal_table(text: &mut String, goals: &[Goal]) {
    for goal in goals {
        let (what, figure, should) = (goal.what, goal.figure, goal.should.to_string());
        let verdict = if goal.reached { "" } else { "  MISSED" };
        let _ = writeln!(text, "  {what:<56} {figure:>6}  goal {should:>8}{verdict}");
    }
}

fn round_table(text: &mut String, rounds: &[Round]) {
    if rounds.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{:<8} {:>6} {:>7} {:>7} {:>7} {:>10} {:>13} {:>13}  slow client",
        "round",
        "items",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p99, whole",
        "KiB, 1st 3rd",
        "KiB, last 3rd"
    );
    for round in rounds {
        let _ = writeln!(
            text,
            "{:<8} {:>6} {:>7} {:>7} {:>7} {:>10} {:>13} {:>13}  {}",
            format!("{:?}", round.kind),
            round.items,
            round.p50_ms,
            round.p99_ms,
            round.max_ms,
            round.whole_p99_ms,
            round.memory_first_kib,
            round.memory_last_kib,
            if round.ended_as_slow { "ended" } else { "-" }
        );
    }
}

//! What a run found out: a table for people, `target/bench-overload.json` for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::aftermath::Aftermath;
use super::mix::Kind;
use super::tally::{Tally, percentile};
use crate::goal::{Goal, Should, figure};

/// How much of the peak is still served in a storm.
const SERVED: f64 = 0.9;
/// Within how many milliseconds 99 of 100 who are refused know it.
const REFUSED_MS: f64 = 50.0;
/// How many times as long as before 99 of 100 requests may take when the storm is over.
const SLOWER: f64 = 2.0;
/// How much of the peak before the storm the one after it is. What is served in the storm is compared with the mean of both, so it must
/// not have spoiled the second one.
const SAME: f64 = 0.75;
/// How much of what is due has to be sent, else it was no such storm.
const SENT: f64 = 0.99;

/// A number of clients on the way to the peak.
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
    /// How fast the machine was meanwhile, as [`Pace`](super::pace::Pace) says.
    pub pace: f64,
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
            pace: tally.pace,
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
        }
    }

    /// Requests served in a second by a machine of such a pace.
    fn at(&self, pace: f64) -> f64 {
        self.served_per_second * pace / self.pace.max(f64::MIN_POSITIVE)
    }
}

/// Processor time in the storm, in cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cores {
    /// This process, which makes the storm.
    pub generator: f64,
    /// The API.
    pub api: f64,
}

/// What was measured.
pub(super) struct Measured {
    /// On the way to the peak.
    pub steps: Vec<Step>,
    /// The best of them, each time for as long as the storm, before it and after it: the peak.
    pub sustained: [Step; 2],
    /// Requests a second in the storm.
    pub offered: f64,
    /// A quarter of the peak before the storm, before it.
    pub before: Tally,
    /// The storm.
    pub storm: Tally,
    /// The same after it.
    pub after: Tally,
    /// Processor time in the storm.
    pub cores: Cores,
    /// What share of the processors the API's session has.
    pub session: Option<String>,
    /// What became of the orders.
    pub aftermath: Aftermath,
}

impl Measured {
    /// Requests that a closed loop that lasts would be served in a second by a machine as fast as it is in the storm, in the mean of
    /// before and after it.
    pub fn peak(&self) -> f64 {
        let [before, after] = &self.sustained;
        let pace = self.storm.pace;
        f64::midpoint(before.at(pace), after.at(pace))
    }
}

/// The number of clients that was served the most in a second.
pub(super) fn best(steps: &[Step]) -> Option<&Step> {
    let rate = |step: &&Step| step.served_per_second;
    steps.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)))
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Each goal.
    pub goals: Vec<Goal>,
    /// Requests that a closed loop that lasts as long as the storm would be served in a second by a machine as fast as it was in the
    /// storm, in the mean of before and after it.
    pub peak: f64,
    /// The two it is the mean of.
    pub sustained: [Step; 2],
    /// The way there.
    pub steps: Vec<Step>,
    /// Requests a second in the storm.
    pub offered: f64,
    /// How long the storm lasted, in seconds.
    pub storm_seconds: f64,
    /// Requests a second that were served in the storm.
    pub served: f64,
    /// Processor time in the storm.
    pub cores: Cores,
    /// What share of the processors the API's session has.
    pub session: Option<String>,
    #[serde(skip)]
    text: String,
}

impl Report {
    /// From what was measured.
    pub fn new(measured: &Measured) -> Self {
        let goals = goals(measured);
        Self {
            text: text(measured, &goals),
            goals,
            peak: measured.peak(),
            sustained: measured.sustained.clone(),
            steps: measured.steps.clone(),
            offered: measured.offered,
            storm_seconds: measured.storm.lasting.as_secs_f64(),
            served: measured.storm.rate(),
            cores: measured.cores,
            session: measured.session.clone(),
        }
    }

    /// Whether every goal was reached.
    pub fn is_good(&self) -> bool {
        self.goals.iter().all(|goal| goal.reached)
    }

    /// Writes it for programs.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, json).with_context(|| format!("failed to write {}", file.display()))
    }

    /// Writes it for people.
    pub fn table(&self) -> &str {
        &self.text
    }
}

fn goals(measured: &Measured) -> Vec<Goal> {
    let Measured {
        before,
        storm,
        after,
        aftermath,
        sustained: [held, held_again],
        ..
    } = measured;
    let p99 = |tally: &Tally| percentile(&tally.times(|figures| &figures.served), 99);
    let refused = storm.times(|figures| &figures.refused);
    // A millisecond of a slower machine is shorter.
    let paced = |tally: &Tally| p99(tally).map(|ms| ms * tally.pace);
    let slower = paced(after).zip(paced(before));
    let due = figure(storm.late.len() + storm.unsent);
    let share = |part: f64, of: f64| (of > 0.0).then_some(part / of);
    vec![
        Goal::new(
            "served in the storm, beside the peak",
            "times",
            share(storm.rate(), measured.peak()),
            Should::BeAtLeast(SERVED),
        ),
        Goal::new(
            "99 of 100 who are refused know it after",
            "ms",
            percentile(&refused, 99),
            Should::BeAtMost(REFUSED_MS),
        ),
        Goal::new(
            "the peak after the storm, beside that before it",
            "times",
            share(held_again.at(held.pace), held.served_per_second),
            Should::BeAtLeast(SAME),
        ),
        Goal::none(
            "neither served nor refused in the storm, or at the peak",
            storm.failed() + held.failed + held_again.failed,
        ),
        Goal::new(
            "sent of what was due in the storm",
            "times",
            share(figure(storm.late.len()), due),
            Should::BeAtLeast(SENT),
        ),
        Goal::none(
            "not served a second after the storm, at a quarter of the peak",
            after.refused() + after.failed() + after.unsent,
        ),
        Goal::new(
            "p99 of the same, beside that before the storm",
            "times",
            slower.and_then(|(after, before)| share(after, before)),
            Should::BeAtMost(SLOWER),
        ),
        Goal::none(
            "broken promises: orders lost, doubled, or untrue",
            aftermath.violations.len(),
        ),
    ]
}

fn text(measured: &Measured, goals: &[Goal]) -> String {
    let mut text = String::from("closed loop, until the peak\n");
    let _ = writeln!(
        text,
        "{:<16} {:>10} {:>10} {:>9} {:>9}",
        "clients", "served/s", "refused/s", "p50 ms", "p99 ms"
    );
    let [before, after] = &measured.sustained;
    let lasting = [(", before", before), (", after", after)];
    let steps = measured.steps.iter().map(|step| ("", step));
    for (what, step) in steps.chain(lasting) {
        let (p50, p99) = (or_dash(step.p50_ms), or_dash(step.p99_ms));
        let _ = writeln!(
            text,
            "{:<16} {:>10.0} {:>10.0} {p50:>9} {p99:>9}",
            format!("{}{what}", step.clients),
            step.served_per_second,
            step.refused_per_second
        );
    }
    let (calm, offered) = (before.served_per_second / 4.0, measured.offered);
    for (name, rate, tally) in [
        ("before", calm, &measured.before),
        ("the storm", offered, &measured.storm),
        ("a second after", calm, &measured.after),
    ] {
        load_table(&mut text, name, rate, tally);
    }
    let _ = writeln!(
        text,
        "\nthe machine's pace, beside that at the first peak: before the storm {:.2}, in it {:.2}, after it {:.2}, at the second peak {:.2}; \
         served in the storm, beside both peaks as they were: {:.2}, {:.2}",
        measured.before.pace / before.pace,
        measured.storm.pace / before.pace,
        measured.after.pace / before.pace,
        after.pace / before.pace,
        measured.storm.rate() / before.served_per_second,
        measured.storm.rate() / after.served_per_second,
    );
    let Cores { generator, api } = measured.cores;
    let _ = writeln!(
        text,
        "in the storm the generator took {generator:.2} cores, the API {api:.2}; its session: {}",
        measured.session.as_deref().unwrap_or("-")
    );
    let Aftermath {
        orders,
        unknown,
        violations,
    } = &measured.aftermath;
    let _ = writeln!(
        text,
        "{orders} orders acknowledged, {unknown} of unknown fate asked for again\n"
    );
    for violation in violations.iter().take(20) {
        let _ = writeln!(text, "VIOLATION {violation}");
    }
    for goal in goals {
        let _ = writeln!(text, "{goal}");
    }
    text
}

fn load_table(text: &mut String, name: &str, rate: f64, tally: &Tally) {
    let seconds = tally.lasting.as_secs_f64();
    let _ = writeln!(
        text,
        "\n{name}: {rate:.0} requests a second for {seconds:.0} s, open loop; {} served a second",
        tally.rate().round()
    );
    let _ = writeln!(
        text,
        "{:<16} {:>10} {:>10} {:>8} {:>9} {:>9} {:>12} {:>12}",
        "request", "served", "refused", "failed", "p50 ms", "p99 ms", "refused p50", "refused p99"
    );
    for kind in Kind::ALL {
        let Some(figures) = tally.kinds.get(&kind) else {
            continue;
        };
        row(
            text,
            kind.as_str(),
            figures.failed,
            &figures.served,
            &figures.refused,
        );
    }
    row(
        text,
        "all",
        tally.failed(),
        &tally.times(|figures| &figures.served),
        &tally.times(|figures| &figures.refused),
    );
    for (what, times) in &tally.failures {
        let _ = writeln!(text, "  failed {times} times: {what}");
    }
    let (late, unsent) = (or_dash(percentile(&tally.late, 99)), tally.unsent);
    let _ = writeln!(
        text,
        "  99 of 100 were sent within {late} ms of when they were due; {unsent} were not sent for want of a connection"
    );
}

fn row(text: &mut String, name: &str, failed: usize, served: &[u32], refused: &[u32]) {
    let at = |times: &[u32], percent| or_dash(percentile(times, percent));
    let _ = writeln!(
        text,
        "{name:<16} {:>10} {:>10} {failed:>8} {:>9} {:>9} {:>12} {:>12}",
        served.len(),
        refused.len(),
        at(served, 50),
        at(served, 99),
        at(refused, 50),
        at(refused, 99),
    );
}

/// To a tenth, or a dash.
fn or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"))
}

/// Processor time as cores.
pub(super) fn cores(cpu: Duration, lasting: Duration) -> f64 {
    cpu.as_secs_f64() / lasting.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::super::answer::Outcome;
    use super::*;

    fn tally(served: usize, refused: usize, ms: u64) -> Tally {
        let mut tally = Tally {
            lasting: Duration::from_secs(1),
            pace: 1.0,
            late: vec![10; served + refused],
            ..Tally::default()
        };
        for number in 0..served + refused {
            let outcome = if number < served {
                Outcome::Served
            } else {
                Outcome::Refused
            };
            tally.note(Kind::Order, &outcome, Duration::from_millis(ms));
        }
        tally
    }

    fn measured(storm: Tally, after: Tally) -> Measured {
        Measured {
            steps: vec![Step::new(8, &tally(120, 0, 5))],
            sustained: [110, 90].map(|served| Step::new(8, &tally(served, 0, 5))),
            offered: 300.0,
            before: tally(25, 0, 5),
            storm,
            after,
            cores: Cores {
                generator: 0.1,
                api: 1.0,
            },
            session: None,
            aftermath: Aftermath::default(),
        }
    }

    #[test]
    fn a_storm_is_passed_if_most_are_served_and_the_others_know_soon() {
        let report = Report::new(&measured(tally(95, 205, 30), tally(25, 0, 9)));
        assert!(report.is_good(), "{}", report.table());
        for (storm, after) in [
            (tally(85, 215, 30), tally(25, 0, 9)),
            (tally(95, 205, 60), tally(25, 0, 9)),
            (tally(95, 205, 30), tally(25, 0, 11)),
            (tally(95, 205, 30), tally(25, 1, 9)),
            (tally(300, 0, 30), tally(25, 0, 9)),
        ] {
            let report = Report::new(&measured(storm, after));
            assert!(!report.is_good(), "{}", report.table());
        }
    }

    #[test]
    fn what_a_slower_machine_does_is_no_fault_of_the_storm_and_of_a_faster_one_no_merit() {
        let passes = |served: usize, pace: f64| {
            let mut storm = tally(served, 300 - served, 30);
            storm.pace = pace;
            Report::new(&measured(storm, tally(25, 0, 9))).is_good()
        };
        assert!(passes(91, 1.0) && !passes(89, 1.0));
        assert!(passes(73, 0.8) && !passes(71, 0.8));
        assert!(passes(109, 1.2) && !passes(107, 1.2));

        let mut after = tally(25, 0, 14);
        assert!(!Report::new(&measured(tally(95, 205, 30), after)).is_good());
        after = tally(25, 0, 14);
        after.pace = 0.7;
        assert!(Report::new(&measured(tally(95, 205, 30), after)).is_good());
    }
}

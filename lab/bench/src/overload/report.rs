//! What a run found out, beside what it should: a table for people, `target/bench-overload.json` for programs.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::aftermath::Aftermath;
use super::storm::{Compared, Step, Storm, median, share};
use super::table::text;
use crate::goal::{Goal, Should};

/// How much of the peak is still served in a storm, and how much of the orders that are placed then.
const SERVED: f64 = 0.9;
/// The same of the worst storm: the same work takes up to 1.6 times as long on a shared host a few minutes later.
const SERVED_AT_LEAST: f64 = 0.6;
/// Within how many milliseconds 99 of 100 who are refused know it.
const REFUSED_MS: f64 = 50.0;
/// How many times as long as before 99 of 100 requests may take when the storm is over.
const SLOWER: f64 = 2.0;
/// The same beside the calm before the first storm, since when the shop has some ten times as many orders.
const SLOWER_IN_ALL: f64 = 3.0;
/// How much of the peak before a storm the one after it is. What is served in the storm is compared with the mean of both, so it must
/// not have spoiled the second one.
const SAME: f64 = 0.75;
/// The same beside the peak before the first storm.
const SAME_IN_ALL: f64 = 0.6;
/// How many times the mean of the peaks around it a storm is at least, else it was no such storm: three times what is known before it,
/// and the machine may be faster after it.
const OFFERED: f64 = 2.5;
/// How much of what is due has to be sent, else it was no such storm.
const SENT: f64 = 0.99;

/// What was measured.
pub(super) struct Measured {
    /// On the way to the peak.
    pub steps: Vec<Step>,
    /// The storms.
    pub storms: Vec<Storm>,
    /// What share of the processors the API's session has.
    pub session: Option<String>,
    /// What became of the orders.
    pub aftermath: Aftermath,
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
    /// The storms.
    pub storms: Vec<Compared>,
    /// How long each lasted, in seconds.
    pub storm_seconds: f64,
    /// The way to the peak.
    pub steps: Vec<Step>,
    /// What share of the processors the API's session has.
    pub session: Option<String>,
    #[serde(skip)]
    text: String,
}

impl Report {
    /// From what was measured.
    pub fn new(measured: &Measured) -> Self {
        let storms: Vec<_> = measured.storms.iter().map(Storm::compared).collect();
        let goals = goals(&storms, &measured.aftermath);
        let lasting = measured.storms.first().map(|it| it.load.lasting);
        Self {
            text: text(measured, &storms, &goals),
            goals,
            storms,
            storm_seconds: lasting.unwrap_or_default().as_secs_f64(),
            steps: measured.steps.clone(),
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

/// Of what is one figure beside another the middle storm counts, since the machine's speed moves; of all else the worst.
fn goals(storms: &[Compared], aftermath: &Aftermath) -> Vec<Goal> {
    let each = |of: fn(&Compared) -> Option<f64>| storms.iter().map(of).collect::<Option<Vec<_>>>();
    let middle = |of| each(of).and_then(median);
    let most = |of| each(of).and_then(|them| them.into_iter().reduce(f64::max));
    let least = |of| each(of).and_then(|them| them.into_iter().reduce(f64::min));
    // What the first storm has spoiled for good is the same before and after the others.
    let since_the_first = |after: fn(&Compared) -> Option<f64>,
                           before: fn(&Compared) -> Option<f64>| {
        let first = storms.first().and_then(before)?;
        share(middle(after)?, first)
    };
    vec![
        Goal::new(
            "served in a storm, beside the peaks around it: the middle one",
            "times",
            middle(|it| it.beside_the_peaks),
            Should::BeAtLeast(SERVED),
        ),
        Goal::new(
            "the same: the worst one",
            "times",
            least(|it| it.beside_the_peaks),
            Should::BeAtLeast(SERVED_AT_LEAST),
        ),
        Goal::new(
            "orders placed in a storm, beside the peaks: the middle one",
            "times",
            middle(|it| it.orders_beside_the_peaks),
            Should::BeAtLeast(SERVED),
        ),
        Goal::new(
            "99 of 100 who are refused know it after: the worst storm",
            "ms",
            most(|it| it.refused_p99_ms),
            Should::BeAtMost(REFUSED_MS),
        ),
        Goal::new(
            "the peak after a storm, beside that before it: the middle one",
            "times",
            middle(|it| it.peak_after),
            Should::BeAtLeast(SAME),
        ),
        Goal::new(
            "the same, beside that before the first storm",
            "times",
            since_the_first(
                |it| Some(it.peaks[1].served_per_second),
                |it| Some(it.peaks[0].served_per_second),
            ),
            Should::BeAtLeast(SAME_IN_ALL),
        ),
        Goal::none(
            "neither served nor refused in a storm, or at the peak",
            storms.iter().map(|it| it.failed).sum(),
        ),
        Goal::new(
            "offered in a storm, beside the peaks around it: the least",
            "times",
            least(|it| it.offered_beside_the_peaks),
            Should::BeAtLeast(OFFERED),
        ),
        Goal::new(
            "sent of what was due in a storm: the least",
            "times",
            least(|it| it.sent),
            Should::BeAtLeast(SENT),
        ),
        Goal::none(
            "not served a second after a storm, at a quarter of the peak",
            storms.iter().map(|it| it.not_served_after).sum(),
        ),
        Goal::new(
            "p99 of the same, beside that before the storm: the middle one",
            "times",
            middle(|it| it.p99_after),
            Should::BeAtMost(SLOWER),
        ),
        Goal::new(
            "the same, beside that before the first storm",
            "times",
            since_the_first(|it| it.p99_after_ms, |it| it.p99_before_ms),
            Should::BeAtMost(SLOWER_IN_ALL),
        ),
        Goal::none(
            "broken promises: orders lost, doubled, or untrue",
            aftermath.violations.len(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shop_lab::check::Violation;

    use super::super::answer::Outcome;
    use super::super::mix::Kind;
    use super::super::storm::Cores;
    use super::super::tally::Tally;
    use super::*;

    /// So many requests in a second, of which every fifth that was served placed an order.
    fn tally(served: usize, refused: usize, ms: u64) -> Tally {
        let mut tally = Tally {
            lasting: Duration::from_secs(1),
            late: vec![10; served + refused],
            ..Tally::default()
        };
        for number in 0..served + refused {
            let (kind, outcome) = match number {
                _ if number >= served => (Kind::Order, Outcome::Refused),
                _ if number % 5 == 0 => (Kind::CreateOrder, Outcome::Served),
                _ => (Kind::Order, Outcome::Served),
            };
            tally.note(kind, &outcome, Duration::from_millis(ms));
        }
        tally
    }

    fn good() -> Storm {
        Storm {
            clients: 8,
            peak_before: tally(110, 0, 5),
            before: tally(25, 0, 5),
            offered: 300.0,
            load: tally(95, 205, 30),
            after: tally(25, 0, 9),
            peak_after: tally(90, 0, 5),
            cores: Cores {
                generator: 0.1,
                api: 1.0,
            },
        }
    }

    /// A good one but for this.
    fn but(spoil: impl FnOnce(&mut Storm)) -> Storm {
        let mut storm = good();
        spoil(&mut storm);
        storm
    }

    fn report_with(storms: impl Into<Vec<Storm>>, aftermath: Aftermath) -> Report {
        Report::new(&Measured {
            steps: vec![Step::new(8, &tally(120, 0, 5))],
            storms: storms.into(),
            session: None,
            aftermath,
        })
    }

    /// The goals that were missed.
    fn missed(storms: impl Into<Vec<Storm>>) -> Vec<&'static str> {
        let report = report_with(storms, Aftermath::default());
        let missed = report.goals.iter().filter(|goal| !goal.reached);
        let missed: Vec<_> = missed.map(|goal| goal.what).collect();
        assert_eq!(report.is_good(), missed.is_empty());
        missed
    }

    fn is_missed_alone(goal: &str, storms: impl Into<Vec<Storm>>) {
        let missed = missed(storms);
        assert!(
            missed.len() == 1 && missed[0].starts_with(goal),
            "{goal}: {missed:?}"
        );
    }

    #[test]
    fn storms_are_passed_if_most_are_served_and_the_others_know_soon() {
        assert_eq!(missed([good(), good(), good()]), [""; 0]);
    }

    #[test]
    fn the_middle_of_three_counts_where_the_machine_may_spoil_one() {
        let less = || but(|it| it.load = tally(85, 215, 30));
        let worn =
            || but(|it| (it.peak_before, it.peak_after) = (tally(120, 0, 5), tally(80, 0, 5)));
        let slow = || but(|it| it.after = tally(25, 0, 11));
        for (goal, spoiled) in [
            ("served in a storm", &less as &dyn Fn() -> Storm),
            ("the peak after a storm", &worn),
            ("p99 of the same", &slow),
        ] {
            assert_eq!(missed([spoiled(), good(), good()]), [""; 0], "{goal}");
            let missed = missed([spoiled(), good(), spoiled()]);
            assert!(missed.iter().any(|it| it.starts_with(goal)), "{missed:?}");
        }
        let few = || {
            but(|it| {
                let orders = it.load.kinds.get_mut(&Kind::CreateOrder).expect("orders");
                let moved = orders.served.split_off(10);
                let others = it.load.kinds.get_mut(&Kind::Order).expect("others");
                others.served.extend(moved);
            })
        };
        is_missed_alone("orders placed", [few(), few(), good()]);
    }

    #[test]
    fn the_worst_of_three_counts_where_the_api_alone_is_to_blame() {
        for (goal, spoiled) in [
            (
                "the same: the worst",
                but(|it| it.load = tally(50, 250, 30)),
            ),
            ("99 of 100", but(|it| it.load = tally(95, 205, 60))),
            ("99 of 100", but(|it| it.load = tally(300, 0, 30))),
            ("offered", but(|it| it.offered = 240.0)),
            ("sent", but(|it| it.load.unsent = 10)),
            ("not served", but(|it| it.after = tally(25, 1, 9))),
        ] {
            is_missed_alone(goal, [good(), spoiled, good()]);
        }
        let outcome = Outcome::Failed("UNAVAILABLE".to_owned());
        for of in [
            (|it| &mut it.load) as fn(&mut Storm) -> &mut Tally,
            |it| &mut it.peak_before,
            |it| &mut it.peak_after,
        ] {
            let failing = but(|it| of(it).note(Kind::Order, &outcome, Duration::ZERO));
            is_missed_alone("neither", [good(), good(), failing]);
        }
        let lost = Aftermath {
            violations: vec![Violation::new(1, "an order is lost", "order_1".to_owned())],
            ..Aftermath::default()
        };
        assert!(!report_with([good(), good(), good()], lost).is_good());
    }

    #[test]
    fn what_the_first_storm_spoils_for_good_is_not_forgiven() {
        let halved = || {
            but(|it| {
                (it.peak_before, it.peak_after) = (tally(55, 0, 5), tally(55, 0, 5));
                it.load = tally(55, 245, 30);
            })
        };
        let first = but(|it| it.peak_after = tally(55, 0, 5));
        is_missed_alone("the same, beside", [first, halved(), halved()]);
        let slower = || but(|it| (it.before, it.after) = (tally(25, 0, 16), tally(25, 0, 16)));
        let first = but(|it| it.after = tally(25, 0, 16));
        is_missed_alone("the same, beside", [first, slower(), slower()]);
    }
}

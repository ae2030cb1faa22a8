//! One fault: load, the fault, healing, quiet, and the check of everything.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::cause;
use super::report::{Checked, Row};
use super::scene::Scene;
use super::table::Fault;
use crate::check::quiet::{self, Waiting};
use crate::check::{Evidence, Violation, judge, read};
use crate::stage::{Keeper, Load, Reader};

/// Before the first injection, so that there is something in flight.
const WARM_UP: Duration = Duration::from_millis(800);
/// How long clients wait for a frame: longer than everything together that a fault keeps away, on a slow machine. That
/// something is stuck is seen by who waits for quiet.
const PATIENCE: Duration = Duration::from_mins(4);
/// How long a shop may take to be quiet after the last order.
pub const QUIET_BOUND: Duration = Duration::from_secs(75);

/// What a shop's check has found before, so that every fault answers for its own.
#[derive(Debug, Default)]
pub struct Known(HashSet<Violation>);

impl Known {
    /// Those that are new.
    fn fresh(&mut self, violations: Vec<Violation>) -> Vec<Violation> {
        violations
            .into_iter()
            .filter(|violation| self.0.insert(violation.clone()))
            .collect()
    }
}

/// Lets a fault happen to a shop. What goes wrong on the way is a violation.
pub async fn trial(scene: &Scene, fault: &Fault, known: &mut Known) -> Row {
    let started = Instant::now();
    scene.world.progress.set(fault.name);
    let (load, mut clients) = Load::start(&scene.run);
    load.set_patience(PATIENCE);
    if !fault.shop.expires() {
        load.nobody_leaves();
    }
    let (reader, keeper) = (Reader::start(&scene.run), Keeper::start(&scene.run));
    scene.begin(fault.name, Some(load.clone()));
    tokio::time::sleep(WARM_UP).await;
    let times = fault.times(scene.world.options.long);
    let mut trouble = Vec::new();
    for number in 0..times {
        if number >= times / 2 {
            load.nobody_leaves(); // so that nobody has to be waited for at the end
        }
        scene.something_in_flight().await;
        if let Err(error) = (fault.strike)(scene).await {
            trouble.push(format!("{error:#}"));
            break;
        }
        let pause = scene.some_millis(500..1_500);
        tokio::time::sleep(fault.pause.mul_f64(pause.as_secs_f64())).await;
    }
    if let Err(error) = scene.heal().await {
        trouble.push(format!("did not heal: {error:#}"));
    }
    let healed = Instant::now();
    load.stop();
    while clients.join_next().await.is_some() {}
    scene.back.records_come(false);
    drop((reader, keeper));
    let done = scene.take_done();

    let mut row = Row::new(fault.name, &done);
    let mut violations: Vec<Violation> = trouble
        .into_iter()
        .map(|problem| Violation::new(12, "the scenario", problem))
        .collect();
    violations.extend(done.violations);
    if done.times < fault.at_least {
        let problem = format!("was injected {} times, not {}", done.times, fault.at_least);
        violations.push(Violation::new(12, fault.name, problem));
    }
    for gap in scene.back.take_gaps().await {
        let bound = if fault.shop.servers_fail() {
            Duration::MAX
        } else {
            gap.bound_here()
        };
        if gap.is_longer_than(bound) {
            let problem = format!(
                "its place was empty for {:?} ({:?}), not {:?} at most; the host withheld {:.0} % of the processor",
                gap.took,
                gap.end,
                gap.bound_here(),
                gap.withheld
            );
            violations.push(Violation::new(12, &gap.label, problem));
        }
        row.gaps.push(gap);
    }
    let waiting = if fault.shop.expires() {
        Waiting::StockOrPayment
    } else {
        Waiting::Stock
    };
    match audit(scene, QUIET_BOUND, waiting).await {
        Ok(audit) => {
            row.healed_seconds = audit
                .quiet_since
                .map(|at| at.saturating_duration_since(healed).as_secs_f64());
            row.checked = audit.checked;
            violations.extend(audit.violations);
            // The product's own auditor must come to the same.
            if let Err(error) = scene.ops(&["audit", "--patience", "20"]).await {
                violations.push(Violation::new(8, "ops audit", format!("{error:#}")));
            }
            let repeats = known.fresh(audit.repeats);
            if !fault.repeats {
                violations.extend(repeats);
            }
        }
        Err(error) => {
            let problem = format!("could not be checked: {error:#}");
            violations.push(Violation::new(12, "the shop", problem));
        }
    }
    scene.run.close_watches();
    row.violations = known.fresh(violations);
    for violation in &mut row.violations {
        if let Some(line) = cause::of(&violation.problem, &scene.api_log) {
            let _ = write!(violation.problem, "; its log: {line}");
        }
    }
    row.seconds = started.elapsed().as_secs_f64();
    row
}

/// What a check of a whole shop says.
#[derive(Debug, Default)]
pub struct Audit {
    /// When nothing was under way any more.
    pub quiet_since: Option<Instant>,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Events that were sent more than once.
    pub repeats: Vec<Violation>,
    /// How much was looked at.
    pub checked: Checked,
}

/// Waits until a shop is quiet and checks all of it, its clients' logs too.
///
/// # Errors
/// If a server does not answer.
pub async fn audit(scene: &Scene, bound: Duration, waiting: Waiting) -> anyhow::Result<Audit> {
    let quiet = quiet::wait(&scene.site, bound, waiting, || scene.run.journal.watched()).await?;
    let evidence = read::read(&scene.site, scene.run.journal.clients()).await?;
    let mut violations = judge::judge(&evidence);
    violations.extend(quiet.violations);
    for death in scene.programs.deaths() {
        violations.push(Violation::new(12, "a program died by itself", death));
    }
    violations.extend(scene.run.take_violations());
    violations.sort();
    Ok(Audit {
        quiet_since: quiet.since,
        violations,
        repeats: judge::repeats(&evidence),
        checked: checked(&evidence),
    })
}

fn checked(evidence: &Evidence) -> Checked {
    let frames = evidence.clients.watched.iter().flat_map(|w| &w.connections);
    Checked {
        rows: evidence
            .write
            .entities
            .values()
            .map(std::collections::BTreeMap::len)
            .sum(),
        records: evidence.log.values().map(Vec::len).sum(),
        views: evidence
            .views
            .values()
            .map(std::collections::BTreeMap::len)
            .sum(),
        answers: evidence.clients.acknowledged.len(),
        frames: frames.map(Vec::len).sum(),
    }
}

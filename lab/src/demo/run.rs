//! One run from the first database to the last dropped topic.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::options::{Mode, Options};
use super::report::{Report, seconds};
use super::{fresh, journey, kill, pause, race, rebuild};
use crate::check::quiet::{self, Waiting};
use crate::check::{Evidence, Kind, Violation, judge, plant, read};
use crate::client::{Journal, Shop};
use crate::programs::{Plan, Programs, target};
use crate::site::Site;
use crate::stage::{Progress, Reader, Run, in_a_shop};

/// How long it may take until nothing is under way, where nothing was disturbed.
const QUIET_BOUND: Duration = Duration::from_secs(30);

/// Runs the demo; true if every promise was kept.
///
/// # Errors
/// If it could not be run to its end.
pub async fn demo(options: &Options) -> anyhow::Result<bool> {
    let file = target()?.join("demo.json");
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let payment_timeout = match options.mode {
        Mode::Journey => journey::PAYMENT_TIMEOUT,
        Mode::Kill | Mode::Pause => kill::PAYMENT_TIMEOUT,
        Mode::Race(_) => race::PAYMENT_TIMEOUT,
        Mode::Fresh(_) => fresh::PAYMENT_TIMEOUT,
        Mode::Rebuild => rebuild::PAYMENT_TIMEOUT,
    };
    let mut plan = Plan::new(payment_timeout, target()?.join("demo-logs"));
    if options.mode == Mode::Pause {
        plan.copies.push(("outbox-relay", 2));
    }
    let progress = Progress::start();
    let report = in_a_shop("demo", &plan, &progress, async |site, programs| {
        scenario_and_check(options, site, programs, &progress).await
    });
    let report = report.await?;
    report.write(&file)?;
    print!("{}", report.table());
    println!("{}", file.display());
    Ok(report.violations == 0)
}

async fn scenario_and_check(
    options: &Options,
    site: &Site,
    programs: &Programs,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let journal = Journal::default();
    let shop = Shop::new(&programs.api.to_string(), journal.clone())?;
    let run = Run::open(shop, journal, progress).await?;
    let disturbed = scenario(options, &run, site, programs)
        .await
        .unwrap_or_else(|error| {
            // The check may tell why.
            run.violate(Violation::new(12, "the scenario", format!("{error:#}")));
            Disturbed::default()
        });
    let since = disturbed.last_kill.unwrap_or_else(Instant::now);
    let bound = if disturbed.last_kill.is_some() {
        kill::CONVERGE_BOUND
    } else {
        QUIET_BOUND
    };
    let bound = bound.saturating_sub(since.elapsed());

    progress.set("waiting until nothing is under way");
    let waiting = match options.mode {
        Mode::Race(_) | Mode::Fresh(_) | Mode::Rebuild => Waiting::Stock,
        _ => Waiting::StockOrPayment,
    };
    let quiet = quiet::wait(site, bound, waiting, || run.journal.watched()).await?;
    let planted = if options.plant {
        plant::plant(site).await?
    } else {
        Vec::new()
    };
    progress.set("comparing MySQL, topics, views and frames");
    let evidence = read::read(site, run.journal.clients()).await;
    let evidence = evidence.with_context(|| disturbed.notes.join("; "))?;
    let mut report = Report::new(options, &run.figures);
    report.converged_seconds = quiet
        .since
        .map(|at| seconds(at.saturating_duration_since(since)));
    report.take_over_seconds = disturbed.take_over.map(seconds);
    report.planted = planted;
    report.notes = disturbed.notes;
    report.lost_answers = run.journal.lost();
    if options.mode == Mode::Kill {
        report.kills = programs.kills().into_iter().collect();
    }
    count(&mut report, &evidence);

    let mut violations = judge::judge(&evidence);
    violations.extend(quiet.violations);
    for death in programs.deaths() {
        violations.push(Violation::new(12, "a program died by itself", death));
    }
    violations.extend(run.take_violations());
    violations.sort();
    report.violations = violations.len();
    report.violation_list = violations;
    Ok(report)
}

/// What was done to the programs.
#[derive(Debug, Default)]
struct Disturbed {
    last_kill: Option<Instant>,
    take_over: Option<Duration>,
    notes: Vec<String>,
}

async fn scenario(
    options: &Options,
    run: &Run,
    site: &Site,
    programs: &Programs,
) -> anyhow::Result<Disturbed> {
    let mut disturbed = Disturbed::default();
    match options.mode {
        Mode::Journey => journey::run(run, options.orders).await?,
        Mode::Race(times) => race::run(run, options, times).await?,
        Mode::Kill => {
            let _reader = Reader::start(run);
            disturbed.last_kill = Some(kill::run(run, programs, options.orders).await?);
        }
        Mode::Pause => {
            let _reader = Reader::start(run);
            disturbed.take_over = Some(pause::run(run, programs).await?);
        }
        Mode::Fresh(orders) => {
            let (last, notes) = fresh::run(run, programs, orders).await?;
            (disturbed.last_kill, disturbed.notes) = (Some(last), notes);
        }
        Mode::Rebuild => disturbed.notes = rebuild::run(run, site, options.orders).await?,
    }
    Ok(disturbed)
}

fn count(report: &mut Report, evidence: &Evidence) {
    for (_, order) in evidence.write.all(Kind::Order) {
        let status = order.state["status"].as_str().unwrap_or("?").to_owned();
        *report.statuses.entry(status).or_default() += 1;
        report.orders += 1;
    }
    let clients = &evidence.clients;
    report.unknown_orders = clients.unknown_orders;
    for watched in &clients.watched {
        report.frames += watched.connections.iter().map(Vec::len).sum::<usize>();
        report.reconnects += watched.connections.len().saturating_sub(1);
    }
}

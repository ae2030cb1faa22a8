//! One run from the first database to the last dropped topic.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::catalogue::Catalogue;
use super::figures::Figures;
use super::options::{Mode, Options};
use super::progress::Progress;
use super::reader::Reader;
use super::report::{Report, seconds};
use super::{journey, kill, pause, race};
use crate::check::quiet::{self, Waiting};
use crate::check::{Evidence, Kind, Violation, judge, plant, read};
use crate::client::{Journal, Shop, Watch};
use crate::programs::{Plan, Programs, target};
use crate::site::Site;

/// How long it may take until nothing is under way, where nothing was disturbed.
const QUIET_BOUND: Duration = Duration::from_secs(30);

/// What scenarios share. A copy shares it too.
#[derive(Debug, Clone)]
pub struct Run {
    /// The clients' way in.
    pub shop: Shop,
    /// What the clients did and saw.
    pub journal: Journal,
    /// What can be bought.
    pub catalogue: Catalogue,
    /// What is measured.
    pub figures: Figures,
    /// The line on the screen.
    pub progress: Progress,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
    watches: Vec<Watch>,
    orders: Vec<Uuid>,
}

impl Run {
    /// Notes a broken promise that a client met.
    pub fn violate(&self, violation: Violation) {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .violations
            .push(violation);
    }

    /// Keeps a subscription open until the check.
    pub fn watch_on(&self, watch: Watch) {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .watches
            .push(watch);
    }

    /// One of the orders, whichever.
    pub fn any_order(&self) -> Option<Uuid> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        fastrand::choice(&found.orders).copied()
    }

    /// Remembers an order.
    pub fn keep(&self, order: Uuid) {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .orders
            .push(order);
    }
}

/// Runs the demo; true if every promise was kept.
///
/// # Errors
/// If it could not be run to its end.
pub async fn demo(options: &Options) -> anyhow::Result<bool> {
    let progress = Progress::start();
    progress.set("a database of its own");
    let file = target()?.join("demo.json");
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let site = Site::create().await?;
    let ended = with_programs(options, &site, &progress).await;
    progress.set("cleaning up");
    site.remove().await;
    progress.finish();
    let report = ended?;
    report.write(&file)?;
    print!("{}", report.table());
    println!("{}", file.display());
    Ok(report.violations == 0)
}

/// Waits for a signal that asks to stop.
async fn interrupted() -> &'static str {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => "SIGINT",
        () = wait(SignalKind::terminate()) => "SIGTERM",
        () = wait(SignalKind::hangup()) => "SIGHUP",
    }
}

async fn with_programs(
    options: &Options,
    site: &Site,
    progress: &Progress,
) -> anyhow::Result<Report> {
    progress.set("tables, topics, and five programs");
    let plan = Plan {
        payment_timeout: match options.mode {
            Mode::Journey => journey::PAYMENT_TIMEOUT,
            Mode::Kill | Mode::Pause => kill::PAYMENT_TIMEOUT,
            Mode::Race(_) => race::PAYMENT_TIMEOUT,
        },
        relays: if options.mode == Mode::Pause { 2 } else { 1 },
    };
    let programs = tokio::select! {
        programs = Programs::start(site, &plan) => programs?,
        signal = interrupted() => anyhow::bail!("stopped by {signal}"),
    };
    let report = tokio::select! {
        report = scenario_and_check(options, site, &programs, progress) => report,
        // The clients go first, then the programs are stopped properly.
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    progress.set("stopping the programs");
    programs.stop().await;
    report
}

async fn scenario_and_check(
    options: &Options,
    site: &Site,
    programs: &Programs,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let journal = Journal::default();
    let shop = Shop::new(&programs.api.to_string(), journal.clone())?;
    let catalogue = Catalogue::create(&shop).await?;
    let run = Run {
        shop,
        journal,
        catalogue,
        figures: Figures::default(),
        progress: progress.clone(),
        found: Arc::default(),
    };
    let disturbed = scenario(options, &run, programs)
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
        Mode::Race(_) => Waiting::Stock,
        _ => Waiting::StockOrPayment,
    };
    let quiet = quiet::wait(site, bound, waiting, || run.journal.watched()).await?;
    let planted = if options.plant {
        plant::plant(site).await?
    } else {
        Vec::new()
    };
    progress.set("comparing MySQL, topics, views and frames");
    let evidence = read::read(site, run.journal.clients()).await?;
    let mut report = Report::new(options, &run.figures);
    report.converged_seconds = quiet
        .since
        .map(|at| seconds(at.saturating_duration_since(since)));
    report.take_over_seconds = disturbed.take_over.map(seconds);
    report.planted = planted;
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
    let found = std::mem::take(&mut *run.found.lock().unwrap_or_else(PoisonError::into_inner));
    violations.extend(found.violations);
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
}

async fn scenario(options: &Options, run: &Run, programs: &Programs) -> anyhow::Result<Disturbed> {
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

//! What becomes of three times as many requests as the API can serve: most of what it can serve it still serves, the others know at
//! once that it is full, nothing is lost, and a second later all is as before.
//!
//! `make bench-overload`. `scene` fills a shop, `mix` makes requests, `generator` offers them, `tally` counts what becomes of them, and
//! `aftermath` looks what became of the orders. Rates are off: what is measured is what a full API refuses, and not who asks for much.

mod aftermath;
mod answer;
mod generator;
mod line;
mod mix;
mod options;
mod report;
mod scene;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use shop_lab::check::quiet::{self, Waiting};
use shop_lab::client::{Journal, Shop};
use shop_lab::programs::{Plan, Programs, target};
use shop_lab::site::Site;
use shop_lab::stage::{Progress, in_a_shop};

use self::aftermath::QUIET_BOUND;
use self::generator::{Load, offer};
use self::report::{Cores, Measured, Report, Step, best, cores};
use self::scene::Scene;
use self::tally::Tally;
use crate::clock::own_cpu;
use crate::limit;
use crate::live::process::Cpu;

pub use options::Options;

/// `PAYMENT_TIMEOUT`: nothing is called off.
const PAYMENT_TIMEOUT: &str = "2h";
/// How many clients there are on the way to the peak, one number after the other.
const CLIENTS: [usize; 7] = [4, 8, 16, 32, 64, 128, 256];
/// How long everything is warmed up.
const WARM_UP: Duration = Duration::from_secs(3);
/// How many times the peak a storm is.
const STORM: f64 = 3.0;
/// What part of the peak is calm.
const CALM: f64 = 0.25;
/// How long after the storm all must be well again.
const RECOVERY: Duration = Duration::from_secs(1);
/// Open files that the API and this process need at most.
const FILES: usize = 8_000;

/// Measures and tells; returns whether every goal was reached.
///
/// # Errors
/// If it can not be measured.
pub async fn bench(options: &Options) -> anyhow::Result<bool> {
    limit::raise(FILES)?;
    let file = target()?.join("bench-overload.json");
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let plan = Plan::new(PAYMENT_TIMEOUT, target()?.join("overload-logs"));
    let progress = Progress::start();
    let measured = in_a_shop("overload", &plan, &progress, async |site, programs| {
        measure(options, site, programs, &progress).await
    });
    let report = Report::new(&measured.await?);
    print!("{}", report.table());
    report.write(&file)?;
    println!("\nwritten to {}", file.display());
    Ok(report.is_good())
}

async fn measure(
    options: &Options,
    site: &Site,
    programs: &Programs,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    let journal = Journal::default();
    let shop = Shop::new(&programs.api.to_string(), journal.clone())?;
    let scene = Arc::new(Scene::fill(&shop, programs.api, progress).await?);
    let ways = ways_to_the_peak(&scene, options.step(), progress).await?;
    let steps: Vec<Step> = ways.iter().map(|(_, step)| step.clone()).collect();
    let clients = best(&steps).context("nothing was served")?.clients;

    // What is ordered in a few seconds the consumers do later. A peak is what lasts as long as the storm, with them beside it.
    calm_down(site, progress).await?;
    let doing = format!("the peak, {clients} clients");
    let (load, lasting) = (Load::Closed(clients), options.storm);
    let held = offer(&scene, load, lasting, progress, &doing).await?;
    let sustained = Step::new(clients, &held);
    let peak = sustained.served_per_second;
    ensure!(peak > 0.0, "nothing was served");

    let doing = "before the storm";
    calm_down(site, progress).await?;
    let (calm, rate) = (options.calm(), peak * CALM);
    let before = offer(&scene, Load::Open(rate), calm, progress, doing).await?;

    let offered = peak * STORM;
    let usage = Usage::now(programs)?;
    let doing = format!("the storm, {offered:.0} requests a second");
    let storm = offer(&scene, Load::Open(offered), options.storm, progress, &doing).await?;
    let cores = usage.until_now(programs)?;

    tokio::time::sleep(RECOVERY).await;
    let doing = "after the storm";
    let after = offer(&scene, Load::Open(rate), calm, progress, doing).await?;

    let mut tallies: Vec<&Tally> = ways.iter().map(|(tally, _)| tally).collect();
    tallies.extend([&held, &before, &storm, &after]);
    let aftermath = aftermath::look(&scene, site, programs, &journal, &tallies, progress).await?;
    Ok(Measured {
        steps,
        sustained,
        offered,
        before,
        storm,
        after,
        cores,
        aftermath,
    })
}

/// Asks with more and more clients. Out: each number of them, after a warm-up that does not count among the steps.
async fn ways_to_the_peak(
    scene: &Arc<Scene>,
    step: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<(Tally, Step)>> {
    let mut ways: Vec<(Tally, Step)> = Vec::new();
    let warm_up = offer(
        scene,
        Load::Closed(CLIENTS[1]),
        WARM_UP,
        progress,
        "warming up",
    );
    let warm_up = warm_up.await?;
    for clients in CLIENTS {
        let doing = format!("{clients} clients");
        let tally = offer(scene, Load::Closed(clients), step, progress, &doing).await?;
        let step = Step::new(clients, &tally);
        ways.push((tally, step));
    }
    // Its orders are looked after too.
    if let Some((first, _)) = ways.first_mut() {
        first.orders.extend(warm_up.orders);
        first.again.extend(warm_up.again);
        first.unknown.extend(warm_up.unknown);
        first.surprises.extend(warm_up.surprises);
    }
    Ok(ways)
}

/// Waits until what the consumers have to do is done: before the storm it is quiet.
async fn calm_down(site: &Site, progress: &Progress) -> anyhow::Result<()> {
    progress.set("waiting until nothing is under way");
    let quiet = quiet::wait(site, QUIET_BOUND, Waiting::Stock, Vec::new).await?;
    let under_way = quiet.violations.first();
    ensure!(
        quiet.since.is_some(),
        "it does not get quiet: {}",
        under_way.map(ToString::to_string).unwrap_or_default()
    );
    Ok(())
}

/// Processor times at a moment.
struct Usage {
    at: Instant,
    own: Duration,
    api: Cpu,
}

impl Usage {
    fn now(programs: &Programs) -> anyhow::Result<Self> {
        let process = programs.process("api").context("the API does not run")?;
        Ok(Self {
            at: Instant::now(),
            own: own_cpu(),
            api: Cpu::of(u32::try_from(process)?)?,
        })
    }

    fn until_now(&self, programs: &Programs) -> anyhow::Result<Cores> {
        let now = Self::now(programs)?;
        let lasting = now.at - self.at;
        Ok(Cores {
            generator: cores(now.own.saturating_sub(self.own), lasting),
            api: cores(now.api.since(&self.api), lasting),
        })
    }
}

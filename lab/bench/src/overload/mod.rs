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
mod pace;
mod report;
mod scene;
mod share;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use shop_lab::check::quiet::{self, Quiet, Waiting};
use shop_lab::client::{Journal, Shop};
use shop_lab::programs::{Plan, Programs, target};
use shop_lab::site::Site;
use shop_lab::stage::{Progress, in_a_shop};

use self::aftermath::QUIET_BOUND;
use self::generator::{Load, offer};
use self::report::{Cores, Measured, Report, Step, best, cores};
use self::scene::Scene;
use self::share::Favoured;
use self::tally::Tally;
use crate::clock::own_cpu;
use crate::limit;
use crate::live::process::Cpu;

pub use options::Options;

/// `PAYMENT_TIMEOUT`: nothing is called off.
const PAYMENT_TIMEOUT: &str = "2h";
/// How many clients ask on the way to the peak, one number after the other. On two processors 32 queries run at once.
const CLIENTS: [usize; 5] = [8, 16, 32, 128, 512];
/// How long everything is warmed up.
const WARM_UP: Duration = Duration::from_secs(10);
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
    let _favoured = Favoured::begin();
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
    let mut tallies = Vec::new();
    let steps = look_for_the_peak(&scene, options, site, progress, &mut tallies).await?;
    let clients = best(&steps).context("nothing was served")?.clients;

    // What is ordered in a few seconds the consumers do later. A peak is what lasts as long as the storm, with them beside it.
    let at_the_peak = async |when: &str| {
        let (load, doing) = (
            Load::Closed(clients),
            format!("the peak, {clients} clients, {when}"),
        );
        offer(&scene, load, options.storm, progress, &doing).await
    };
    calm_down(site, progress).await?;
    let held = at_the_peak("before the storm").await?;
    let peak = held.rate();
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
    let session = programs.process("api").and_then(share::of);

    tokio::time::sleep(RECOVERY).await;
    let doing = "after the storm";
    let after = offer(&scene, Load::Open(rate), calm, progress, doing).await?;
    // The machine's speed moves, and a shop with more orders is slower: the storm is compared with what lies on both its sides.
    // What it has left undone the aftermath shows.
    quiet_within_bound(site, progress).await?;
    let held_again = at_the_peak("after the storm").await?;
    let sustained = [&held, &held_again].map(|held| Step::new(clients, held));

    let mut tallies: Vec<&Tally> = tallies.iter().collect();
    tallies.extend([&held, &before, &storm, &after, &held_again]);
    let aftermath = aftermath::look(&scene, site, programs, &journal, &tallies, progress).await?;
    Ok(Measured {
        steps,
        sustained,
        offered,
        before,
        storm,
        after,
        cores,
        session,
        aftermath,
    })
}

/// Asks with more and more clients after a warm-up. Each begins when what the one before it ordered is done. Out: what became of it.
async fn look_for_the_peak(
    scene: &Arc<Scene>,
    options: &Options,
    site: &Site,
    progress: &Progress,
    tallies: &mut Vec<Tally>,
) -> anyhow::Result<Vec<Step>> {
    let load = Load::Closed(CLIENTS[0]);
    tallies.push(offer(scene, load, WARM_UP, progress, "warming up").await?);
    let mut steps = Vec::new();
    for clients in CLIENTS {
        calm_down(site, progress).await?;
        let (load, doing) = (Load::Closed(clients), format!("{clients} clients"));
        let tally = offer(scene, load, options.step(), progress, &doing).await?;
        steps.push(Step::new(clients, &tally));
        tallies.push(tally);
    }
    Ok(steps)
}

/// Waits until what the consumers have to do is done: before the storm it is quiet.
async fn calm_down(site: &Site, progress: &Progress) -> anyhow::Result<()> {
    let quiet = quiet_within_bound(site, progress).await?;
    let under_way = quiet.violations.first();
    ensure!(
        quiet.since.is_some(),
        "it does not get quiet: {}",
        under_way.map(ToString::to_string).unwrap_or_default()
    );
    Ok(())
}

async fn quiet_within_bound(site: &Site, progress: &Progress) -> anyhow::Result<Quiet> {
    progress.set("waiting until nothing is under way");
    quiet::wait(site, QUIET_BOUND, Waiting::Stock, Vec::new).await
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

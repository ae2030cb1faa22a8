//! What becomes of three times as many requests as the API can serve: most of what it can serve it still serves, the others know at
//! once that it is full, nothing is lost, and a second later all is as before.
//!
//! `make bench-overload`. `scene` fills a shop, `mix` makes requests, `generator` offers them, `tally` counts what becomes of them,
//! `storm` compares, `report` judges, and `aftermath` looks what became of the orders. Rates are off: what is measured is what a full API refuses, and not who asks for much.

mod aftermath;
mod answer;
mod generator;
mod line;
mod mix;
mod options;
mod report;
mod scene;
mod share;
mod storm;
mod table;
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
use self::report::{Measured, Report, best};
use self::scene::Scene;
use self::share::Favoured;
use self::storm::{Cores, Step, Storm, cores};
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
/// How many storms there are, each between two peaks of its own. Odd, since the middle one counts.
const STORMS: usize = 3;
/// How many times the peak a storm is.
const STORM: f64 = 3.0;
/// What part of the peak is calm.
const CALM: f64 = 0.25;
/// How long after a storm all must be well again.
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
    let stage = Stage {
        scene: Arc::new(Scene::fill(&shop, programs.api, progress).await?),
        options,
        site,
        programs,
        progress,
    };
    let mut tallies = Vec::new();
    let steps = stage.look_for_the_peak(&mut tallies).await?;
    let clients = best(&steps).context("nothing was served")?.clients;
    let (mut storms, mut most) = (Vec::new(), 0.0);
    for number in 1..=STORMS {
        storms.push(stage.storm(number, clients, &mut most).await?);
    }
    let session = programs.process("api").and_then(share::of);

    let mut all: Vec<&Tally> = tallies.iter().collect();
    all.extend(storms.iter().flat_map(Storm::tallies));
    let scene = &stage.scene;
    let aftermath = aftermath::look(scene, site, programs, &journal, &all, progress).await?;
    Ok(Measured {
        steps,
        storms,
        session,
        aftermath,
    })
}

/// Where loads are offered.
struct Stage<'a> {
    scene: Arc<Scene>,
    options: &'a Options,
    site: &'a Site,
    programs: &'a Programs,
    progress: &'a Progress,
}

impl Stage<'_> {
    /// Asks with more and more clients after a warm-up. Out: what became of it.
    async fn look_for_the_peak(&self, tallies: &mut Vec<Tally>) -> anyhow::Result<Vec<Step>> {
        let load = Load::Closed(CLIENTS[0]);
        tallies.push(self.offer(load, WARM_UP, "warming up").await?);
        let mut steps = Vec::new();
        for clients in CLIENTS {
            self.calm_down().await?;
            let (load, doing) = (Load::Closed(clients), format!("{clients} clients"));
            let tally = self.offer(load, self.options.step(), &doing).await?;
            steps.push(Step::new(clients, &tally));
            tallies.push(tally);
        }
        Ok(steps)
    }

    /// A storm between two peaks, of so many times the most that any peak was so far. Before it there is some calm, and after it again
    /// when a second has passed.
    async fn storm(&self, number: usize, clients: usize, most: &mut f64) -> anyhow::Result<Storm> {
        let of = format!("storm {number} of {STORMS}");
        // What is ordered in a few seconds the consumers do later. A peak is what lasts as long as a storm, with them beside it.
        let peak = async |when: &str| {
            self.calm_down().await?;
            let doing = format!("the peak {when} {of}, {clients} clients");
            let load = Load::Closed(clients);
            self.offer(load, self.options.storm, &doing).await
        };
        let peak_before = peak("before").await?;
        *most = most.max(peak_before.rate());
        ensure!(*most > 0.0, "nothing was served");

        self.calm_down().await?;
        let (calm, lasting) = (Load::Open(*most * CALM), self.options.calm());
        let before = self.offer(calm, lasting, &format!("before {of}")).await?;

        let offered = *most * STORM;
        let doing = format!("{of}, {offered:.0} requests a second");
        let usage = Usage::now(self.programs)?;
        let load = Load::Open(offered);
        let load = self.offer(load, self.options.storm, &doing).await?;
        let cores = usage.until_now(self.programs)?;

        tokio::time::sleep(RECOVERY).await;
        let after = self.offer(calm, lasting, &format!("after {of}")).await?;
        let peak_after = peak("after").await?;
        *most = most.max(peak_after.rate());
        Ok(Storm {
            clients,
            peak_before,
            before,
            offered,
            load,
            after,
            peak_after,
            cores,
        })
    }

    async fn offer(&self, load: Load, lasting: Duration, doing: &str) -> anyhow::Result<Tally> {
        offer(&self.scene, load, lasting, self.progress, doing).await
    }

    /// Waits until what the consumers have to do is done: each load begins in a quiet shop.
    async fn calm_down(&self) -> anyhow::Result<()> {
        self.progress.set("waiting until nothing is under way");
        let quiet = quiet::wait(self.site, QUIET_BOUND, Waiting::Stock, Vec::new).await?;
        let under_way = quiet.violations.first();
        ensure!(
            quiet.since.is_some(),
            "it does not get quiet: {}",
            under_way.map(ToString::to_string).unwrap_or_default()
        );
        Ok(())
    }
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

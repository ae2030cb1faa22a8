//! One shop of the suite: its programs behind the proxies, its clients, and what is done to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use fastrand::Rng;

use super::back::Back;
use super::options::Options;
use super::proxies::Proxies;
use super::servers::Servers;
use crate::check::Violation;
use crate::check::quiet::{self, Waiting};
use crate::client::{Journal, Shop};
use crate::host::Deadline;
use crate::programs::{Plan, Programs, ops};
use crate::site::Site;
use crate::stage::{Load, Progress, Run};

/// How long it is waited for something to be in flight.
const FLIGHT_BOUND: Duration = Duration::from_secs(20);
/// How long programs may take to be ready again.
const READY_BOUND: Duration = Duration::from_mins(1);

/// How long the operator's command line may take.
const OPS_BOUND: Duration = Duration::from_mins(2);

/// What all shops of a run share.
#[derive(Debug)]
pub struct World {
    /// What was asked for.
    pub options: Options,
    /// The servers.
    pub servers: Servers,
    /// What stands in front of them.
    pub proxies: Proxies,
    /// Where logs go.
    pub logs: PathBuf,
    /// The line on the screen.
    pub progress: Progress,
}

/// How a shop is set up.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name in logs.
    pub name: &'static str,
    /// `PAYMENT_TIMEOUT`.
    pub payment_timeout: &'static str,
    /// Copies of each program behind the API.
    pub copies: usize,
    /// More settings for every program.
    pub settings: crate::programs::Settings,
}

impl Setting {
    /// A record that fails is given up after seconds, not after half a minute.
    pub fn quick_to_give_up() -> crate::programs::Settings {
        vec![("RETRY_FIRST_WAIT", "150ms".to_owned())]
    }
}

/// One shop.
#[derive(Debug)]
pub struct Scene {
    /// What is shared with others.
    pub world: Arc<World>,
    /// Where it lives, as the check sees it.
    pub site: Site,
    /// Its programs.
    pub programs: Arc<Programs>,
    /// Its clients.
    pub run: Run,
    /// How long killed programs took to be at work again.
    pub back: Back,
    /// The API's log.
    pub api_log: PathBuf,
    state: Mutex<State>,
}

/// What was done to a shop since the last fault began.
#[derive(Debug, Default)]
pub struct Done {
    /// How often a fault was injected.
    pub times: u32,
    /// How many orders were on their way each time.
    pub in_flight: Vec<usize>,
    /// Broken promises that a fault met by itself.
    pub violations: Vec<Violation>,
    /// A figure of the fault's own.
    pub remark: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    rng: Rng,
    load: Option<Load>,
    done: Done,
}

impl Scene {
    /// Makes a shop and starts everything.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn open(world: &Arc<World>, setting: &Setting) -> anyhow::Result<Self> {
        let site = Site::create("chaos").await?;
        match Self::start(world, setting, &site).await {
            Ok(scene) => Ok(scene),
            Err(error) => {
                site.remove().await;
                Err(error.context(format!("failed to open the shop {}", setting.name)))
            }
        }
    }

    async fn start(world: &Arc<World>, setting: &Setting, site: &Site) -> anyhow::Result<Self> {
        let logs = world.logs.join(setting.name);
        let mut plan = Plan::new(setting.payment_timeout, logs.clone());
        plan.notes = Some((world.servers.notes(), format!("chaos-{}", setting.name)));
        plan.settings.clone_from(&setting.settings);
        for program in [
            "outbox-relay",
            "stock-reservation",
            "order-saga",
            "projector",
        ] {
            plan.copies.push((program, setting.copies));
        }
        let seen_by_programs = world.proxies.in_front_of(site)?;
        let programs = Arc::new(Programs::start(&seen_by_programs, &plan).await?);
        let run = open_run(&programs, site, &logs, &world.progress).await;
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                programs.stop().await;
                return Err(error);
            }
        };
        Ok(Self {
            world: Arc::clone(world),
            site: site.clone(),
            back: Back::new(Arc::clone(&programs), world.options.slower),
            programs,
            run,
            api_log: logs.join("api.log"),
            state: Mutex::default(),
        })
    }

    /// Stops everything and leaves nothing behind.
    pub async fn close(self) {
        self.run.close_watches();
        self.programs.stop().await;
        self.site.remove().await;
    }

    /// Begins a fault: nothing is done yet, and chance begins where the seed says.
    pub fn begin(&self, name: &str, load: Option<Load>) {
        let name = name.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        self.back.records_come(true);
        let mut state = self.state();
        state.rng = Rng::with_seed(self.world.options.seed ^ name);
        state.load = load;
        state.done = Done::default();
    }

    /// What was done since.
    pub fn take_done(&self) -> Done {
        std::mem::take(&mut self.state().done)
    }

    /// Notes that a fault is injected now.
    pub fn note(&self) {
        let mut state = self.state();
        let in_flight = state.load.as_ref().map_or(0, Load::in_flight);
        state.done.times += 1;
        state.done.in_flight.push(in_flight);
    }

    /// Notes that a fault is injected now, with so much in flight that is no order of the usual clients.
    pub fn note_with(&self, in_flight: usize) {
        let mut state = self.state();
        state.done.times += 1;
        state.done.in_flight.push(in_flight);
    }

    /// Waits until there is something in flight.
    pub async fn something_in_flight(&self) {
        let deadline = Deadline::after(FLIGHT_BOUND);
        while !deadline.passed() {
            let in_flight = self.state().load.as_ref().map_or(0, Load::in_flight);
            if in_flight > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the usual clients' orders, for a fault that brings its own and times them.
    ///
    /// # Errors
    /// If they do not come to their end within a bound.
    pub async fn without_load(&self) -> anyhow::Result<()> {
        let Some(load) = self.state().load.clone() else {
            return Ok(());
        };
        load.stop();
        let deadline = Deadline::after(FLIGHT_BOUND);
        while load.in_flight() > 0 {
            ensure!(
                !deadline.passed(),
                "orders are still on their way after {FLIGHT_BOUND:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The number of injections so far, for faults that take turns.
    pub fn turn(&self) -> u32 {
        self.state().done.times
    }

    /// Notes a broken promise that a fault met by itself.
    pub fn violate(&self, violation: Violation) {
        self.state().done.violations.push(violation);
    }

    /// Notes a figure of the fault's own.
    pub fn remark(&self, text: String) {
        self.state().done.remark = Some(text);
    }

    /// A number by chance: the same for the same seed.
    pub fn chance(&self, range: std::ops::Range<u64>) -> u64 {
        self.state().rng.u64(range)
    }

    /// A span of time by chance, in milliseconds.
    pub fn some_millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.chance(range))
    }

    /// One of them by chance.
    pub fn one_of<T: Clone>(&self, items: &[T]) -> anyhow::Result<T> {
        let mut state = self.state();
        state
            .rng
            .choice(items)
            .cloned()
            .context("nothing to choose from")
    }

    /// Runs the operator's command line, and returns what it says.
    ///
    /// # Errors
    /// If it ends with anything but 0; the message has what it said.
    pub async fn ops(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let said = ops(&self.site, arguments, OPS_BOUND).await?;
        ensure!(
            said.ok(),
            "ops {} ended with {}: {}{}",
            arguments.join(" "),
            said.status,
            said.out,
            said.err
        );
        Ok(said.out)
    }

    /// Undoes whatever faults leave: lines open, servers up, programs running as they began.
    ///
    /// # Errors
    /// If something does not come back.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.world.proxies.heal().await?;
        self.programs.heal();
        self.world.servers.up().await?;
        self.programs.ready(READY_BOUND).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clients with a catalogue that has arrived everywhere.
async fn open_run(
    programs: &Programs,
    site: &Site,
    logs: &Path,
    progress: &Progress,
) -> anyhow::Result<Run> {
    let journal = Journal::with_diary(&logs.join("clients.jsonl"))?;
    let shop = Shop::new(&programs.api.to_string(), journal.clone())?.patient();
    let run = Run::open(shop, journal, progress).await?;
    let quiet = quiet::wait(site, READY_BOUND, Waiting::Stock, Vec::new).await?;
    ensure!(
        quiet.since.is_some(),
        "no order yet, and {:?}",
        quiet.violations
    );
    Ok(run)
}

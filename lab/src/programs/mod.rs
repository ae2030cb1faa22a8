//! The shop's programs as processes: started, killed, paused, started again when they die, stopped.

mod instance;
mod ops;
mod process;
mod setup;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Signal, kill_process};
use tokio::task::JoinHandle;

use crate::host::Deadline;
use crate::site::Site;
use instance::{Instance, keep_alive, tail};

pub use instance::note;
pub use ops::{Said, ops};
pub use setup::environment;

/// The programs of the shop, in the order of an order's journey.
pub const PROGRAMS: [&str; 5] = [
    "api",
    "outbox-relay",
    "stock-reservation",
    "order-saga",
    "projector",
];

/// The program that has clients.
const API: &str = "api";
/// Where the first program listens, if the ports from there on are free.
const FIRST_PORT: u16 = 4100;
/// How many ports a shop may take.
const PORTS: u16 = 20;
/// How long all programs may take to be ready.
const READY_BOUND: Duration = Duration::from_mins(1);
/// How long a program may take to stop when asked.
const STOP_BOUND: Duration = Duration::from_secs(15);

/// Environment variables.
pub type Settings = Vec<(&'static str, String)>;

/// What differs from run to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `PAYMENT_TIMEOUT`, as the setting is written.
    pub payment_timeout: &'static str,
    /// How many copies there are of a program of which there is not just one.
    pub copies: Vec<(&'static str, usize)>,
    /// Where logs go; emptied first.
    pub logs: PathBuf,
    /// Where the processes are noted, and under which name, for a script that must end them when the lab can not.
    pub notes: Option<(PathBuf, String)>,
    /// More settings for every program.
    pub settings: Settings,
}

impl Plan {
    /// One copy of each, nothing special.
    pub fn new(payment_timeout: &'static str, logs: PathBuf) -> Self {
        Self {
            payment_timeout,
            copies: Vec::new(),
            logs,
            notes: None,
            settings: Vec::new(),
        }
    }

    fn copies_of(&self, program: &str) -> usize {
        let found = self.copies.iter().find(|(name, _)| *name == program);
        found.map_or(1, |(_, copies)| *copies)
    }
}

/// All programs of one shop.
pub struct Programs {
    instances: Vec<Arc<Instance>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Where the API answers.
    pub api: SocketAddr,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs")
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

/// The directory with the binaries: where this program lies.
///
/// # Errors
/// If the system does not tell.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    Ok(own
        .parent()
        .context("this program's file lies nowhere")?
        .to_owned())
}

/// The target directory of the build.
///
/// # Errors
/// If the system does not tell.
pub fn target() -> anyhow::Result<PathBuf> {
    Ok(binaries()?
        .parent()
        .context("the binaries lie nowhere")?
        .to_owned())
}

impl Programs {
    /// Makes tables and topics, then starts every program and waits until all are ready.
    ///
    /// # Errors
    /// If a binary is missing, a migration fails, or a program is not ready within a bound.
    pub async fn start(site: &Site, plan: &Plan) -> anyhow::Result<Self> {
        let binaries = binaries()?;
        // Logs of earlier runs would only mislead.
        let _ = std::fs::remove_dir_all(&plan.logs);
        std::fs::create_dir_all(&plan.logs).context("failed to make the directory of logs")?;
        for program in PROGRAMS {
            let file = binaries.join(program);
            if !file.is_file() {
                bail!(
                    "{} is missing: build the workspace first (make build)",
                    file.display()
                );
            }
        }
        setup::migrate(&binaries, site, &plan.logs).await?;

        // The first copies first: the API is the first of all.
        let mut labels: Vec<(String, &'static str, usize)> = PROGRAMS
            .iter()
            .map(|program| ((*program).to_owned(), *program, 1))
            .collect();
        for program in PROGRAMS {
            let more =
                (2..=plan.copies_of(program)).map(|n| (format!("{program}-{n}"), program, n));
            labels.extend(more);
        }
        let mut addresses = free_addresses(labels.len() + plan.copies_of(API))?.into_iter();
        let mut next_address = || addresses.next().context("no address is left");
        let mut instances = Vec::new();
        for (label, program, copy) in labels {
            let log = plan.logs.join(format!("{label}.log"));
            // A log of this run only; programs that are started again append.
            File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
            let mut settings = environment(site, program);
            let health = next_address()?;
            settings.push(("HEALTH_ADDR", health.to_string()));
            let door = (program == API).then(&mut next_address).transpose()?;
            settings.extend(door.map(|door| ("HTTP_ADDR", door.to_string())));
            settings.push(("CONSUMER_SLOT", (copy - 1).to_string()));
            settings.push(("PAYMENT_TIMEOUT", plan.payment_timeout.to_owned()));
            settings.push(("PAYMENT_CHECK_INTERVAL", "200ms".to_owned()));
            settings.extend(plan.settings.iter().cloned());
            let note = plan.notes.as_ref();
            let note = note.map(|(dir, name)| dir.join(format!("{name}-{label}.pid")));
            let binary = binaries.join(program);
            let instance = Instance::new(label, program, binary, settings, health, log);
            instances.push(Arc::new(instance.behind(door).noted_in(note)));
        }
        let api = instances.first().and_then(|first| first.door);
        let api = api.context("the API is not the first program")?;
        let tasks = instances
            .iter()
            .map(|instance| tokio::spawn(keep_alive(instance.clone())))
            .collect();
        let programs = Self {
            instances,
            tasks: Mutex::new(tasks),
            api,
        };
        if let Err(error) = programs.ready(READY_BOUND).await {
            programs.stop().await;
            return Err(error);
        }
        Ok(programs)
    }

    /// Waits until every program says that it is ready.
    ///
    /// # Errors
    /// If one does not within the bound; the message has its last answer and log lines.
    pub async fn ready(&self, bound: Duration) -> anyhow::Result<()> {
        let deadline = Deadline::after(bound);
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(3))
            .no_proxy()
            .build()?;
        for instance in &self.instances {
            let url = format!("http://{}/readyz", instance.health);
            loop {
                let answer = match http.get(&url).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => format!("{:#}", anyhow::Error::from(error)),
                };
                if deadline.passed() {
                    let (label, log) = (&instance.label, tail(&instance.log));
                    bail!("{label} is not ready after {bound:?}: {answer}\n{log}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Kills a program with SIGKILL; it is started again. False if it is not running at the moment.
    pub fn kill(&self, label: &str) -> bool {
        self.instance(label).is_some_and(|instance| {
            let mut state = instance.lock();
            let done = state
                .pid
                .is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
            if done {
                state.expected = true;
                state.kills += 1;
                state.pid = None;
            }
            done
        })
    }

    /// Stops a program in its tracks (SIGSTOP), or lets it go on (SIGCONT). False if it is not running.
    pub fn pause(&self, label: &str, paused: bool) -> bool {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        self.instance(label)
            .and_then(|instance| instance.lock().pid)
            .is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Ends a program and starts it again with settings of its own on top of the others; they stay until others are given.
    pub fn restart_with(&self, label: &str, own: Settings) {
        if let Some(instance) = self.instance(label) {
            let mut state = instance.lock();
            state.own = own;
            if let Some(pid) = state.pid.take() {
                state.expected = kill_process(pid, Signal::TERM).is_ok();
            }
        }
    }

    /// Sends a program away in an orderly manner, to stay away, or lets it come back.
    pub fn send_away(&self, label: &str, away: bool) {
        if let Some(instance) = self.instance(label) {
            let mut state = instance.lock();
            state.away = away;
            if let Some(pid) = state.pid.take_if(|_| away) {
                state.expected = kill_process(pid, Signal::TERM).is_ok();
            }
        }
    }

    /// Lets every program run as it began: none away, none stopped in its tracks, none with settings of its own.
    pub fn heal(&self) {
        for label in self.labels() {
            self.pause(&label, false);
            self.send_away(&label, false);
            let changed = self
                .instance(&label)
                .is_some_and(|i| !i.lock().own.is_empty());
            if changed {
                self.restart_with(&label, Settings::new());
            }
        }
    }

    /// The names of all processes of a program.
    pub fn labels_of(&self, program: &str) -> Vec<String> {
        let instances = self.instances.iter();
        let found = instances.filter(|instance| instance.program == program);
        found.map(|instance| instance.label.clone()).collect()
    }

    /// The names of all processes.
    pub fn labels(&self) -> Vec<String> {
        let instances = self.instances.iter();
        instances.map(|instance| instance.label.clone()).collect()
    }

    /// Where a program answers `/readyz` and `/metrics`.
    pub fn health(&self, label: &str) -> Option<SocketAddr> {
        self.instance(label).map(|instance| instance.health)
    }

    /// Where a copy of the API serves its clients.
    pub fn door(&self, label: &str) -> Option<SocketAddr> {
        self.instance(label)?.door
    }

    /// How often each program was killed.
    pub fn kills(&self) -> Vec<(String, u32)> {
        self.instances
            .iter()
            .map(|i| (i.label.clone(), i.lock().kills))
            .collect()
    }

    /// How programs died that nobody here killed.
    pub fn deaths(&self) -> Vec<String> {
        self.instances
            .iter()
            .flat_map(|instance| instance.lock().deaths.clone())
            .collect()
    }

    /// Asks every program to stop, and kills what does not.
    pub async fn stop(&self) {
        for instance in &self.instances {
            instance.stopping.store(true, Ordering::SeqCst);
            if let Some(pid) = instance.lock().pid {
                let _ = kill_process(pid, Signal::CONT);
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let deadline = Instant::now() + STOP_BOUND;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for (task, instance) in tasks.into_iter().zip(&self.instances) {
            let left = deadline.saturating_duration_since(Instant::now());
            let abort = task.abort_handle();
            if tokio::time::timeout(left, task).await.is_err() {
                eprintln!("{} does not stop; killed", instance.label);
                abort.abort(); // the child is killed with its handle
            }
        }
    }

    fn instance(&self, label: &str) -> Option<&Arc<Instance>> {
        self.instances
            .iter()
            .find(|instance| instance.label == label)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.iter() {
            task.abort();
        }
    }
}

/// As many loopback addresses in a row that nobody listens on; never the same ones twice in this process.
fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    for _ in 0..40 {
        let first = NEXT.fetch_add(PORTS, Ordering::SeqCst);
        let ports = (first..first + PORTS).take(count);
        let addresses: Vec<SocketAddr> = ports.map(|port| ([127, 0, 0, 1], port).into()).collect();
        if addresses.len() == count
            && addresses
                .iter()
                .all(|address| TcpListener::bind(address).is_ok())
        {
            return Ok(addresses);
        }
    }
    bail!("no {count} free ports in a row from {FIRST_PORT} on")
}

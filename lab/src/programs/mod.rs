//! The shop's programs as processes: started, killed, paused, started again when they die, stopped.

mod instance;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Signal, kill_process};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::site::Site;
use instance::{Instance, keep_alive, tail};

/// The programs of the shop, in the order of an order's journey.
pub const PROGRAMS: [&str; 5] = [
    "api",
    "outbox-relay",
    "stock-reservation",
    "order-saga",
    "projector",
];

/// Where the first program listens, if the ports from there on are free.
const FIRST_PORT: u16 = 4100;
/// How long all programs may take to be ready.
const READY_BOUND: Duration = Duration::from_mins(1);
/// How long a program may take to stop when asked.
const STOP_BOUND: Duration = Duration::from_secs(15);

/// The settings that differ from run to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `PAYMENT_TIMEOUT`, as the setting is written.
    pub payment_timeout: &'static str,
    /// Copies of the outbox relay.
    pub relays: usize,
}

/// All programs of one shop.
pub struct Programs {
    instances: Vec<Arc<Instance>>,
    tasks: Vec<JoinHandle<()>>,
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
        let logs = target()?.join("demo-logs");
        // Logs of earlier runs would only mislead.
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).context("failed to make the directory of logs")?;
        for program in PROGRAMS {
            let file = binaries.join(program);
            if !file.is_file() {
                bail!(
                    "{} is missing: build the workspace first (make build)",
                    file.display()
                );
            }
        }
        migrate(&binaries, site, &logs.join("migrate.log")).await?;

        let mut labels: Vec<(String, &'static str)> = PROGRAMS
            .iter()
            .map(|program| ((*program).to_owned(), *program))
            .collect();
        for copy in 2..=plan.relays {
            labels.push((format!("outbox-relay-{copy}"), "outbox-relay"));
        }
        let addresses = free_addresses(labels.len())?;
        let mut instances = Vec::new();
        for ((label, program), address) in labels.into_iter().zip(addresses) {
            let log = logs.join(format!("{label}.log"));
            // A log of this run only; programs that are started again append.
            File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
            let mut settings = settings(site);
            let listen = if program == "api" {
                "HTTP_ADDR"
            } else {
                "HEALTH_ADDR"
            };
            settings.push((listen, address.to_string()));
            settings.push(("PAYMENT_TIMEOUT", plan.payment_timeout.to_owned()));
            settings.push(("PAYMENT_CHECK_INTERVAL", "200ms".to_owned()));
            let binary = binaries.join(program);
            let instance = Instance::new(label, program, binary, settings, address, log);
            instances.push(Arc::new(instance));
        }
        let api = instances.first().context("no program")?.address;
        let tasks = instances
            .iter()
            .map(|instance| tokio::spawn(keep_alive(instance.clone())))
            .collect();
        let programs = Self {
            instances,
            tasks,
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
        let deadline = Instant::now() + bound;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(3))
            .no_proxy()
            .build()?;
        for instance in &self.instances {
            let url = format!("http://{}/readyz", instance.address);
            loop {
                let answer = match http.get(&url).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => format!("{:#}", anyhow::Error::from(error)),
                };
                if Instant::now() > deadline {
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
                state.killed = true;
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

    /// Where a program answers `/metrics`.
    pub fn address(&self, label: &str) -> Option<SocketAddr> {
        self.instance(label).map(|instance| instance.address)
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
    pub async fn stop(mut self) {
        for instance in &self.instances {
            instance.stopping.store(true, Ordering::SeqCst);
            if let Some(pid) = instance.lock().pid {
                let _ = kill_process(pid, Signal::CONT);
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let deadline = Instant::now() + STOP_BOUND;
        for (task, instance) in std::mem::take(&mut self.tasks)
            .into_iter()
            .zip(&self.instances)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            let abort = task.abort_handle();
            if tokio::time::timeout(left, task).await.is_err() {
                eprintln!("demo: {} does not stop; killed", instance.label);
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
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn settings(site: &Site) -> Vec<(&'static str, String)> {
    vec![
        ("ENV", "development".to_owned()),
        ("MYSQL_DSN", site.mysql_dsn.clone()),
        ("MONGO_URI", site.mongo_uri.clone()),
        ("KAFKA_BROKERS", site.kafka_brokers.clone()),
        ("TOPIC_PREFIX", site.topic_prefix.clone()),
        ("EVENT_ENCODING", "json".to_owned()),
    ]
}

async fn migrate(binaries: &Path, site: &Site, log: &Path) -> anyhow::Result<()> {
    let file = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
    let mut migration = Command::new(binaries.join("api"));
    migration
        .arg("migrate")
        .envs(settings(site))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    let Ok(status) = tokio::time::timeout(READY_BOUND, migration.status()).await else {
        bail!(
            "api migrate takes longer than {READY_BOUND:?}:\n{}",
            tail(log)
        );
    };
    let status = status.context("failed to start api migrate")?;
    if !status.success() {
        bail!("api migrate failed ({status}):\n{}", tail(log));
    }
    Ok(())
}

/// As many loopback addresses in a row that nobody listens on.
fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    for first in (FIRST_PORT..FIRST_PORT + 800).step_by(20) {
        let ports = (first..).take(count);
        let addresses: Vec<SocketAddr> = ports.map(|port| ([127, 0, 0, 1], port).into()).collect();
        if addresses
            .iter()
            .all(|address| TcpListener::bind(address).is_ok())
        {
            return Ok(addresses);
        }
    }
    bail!("no {count} free ports in a row from {FIRST_PORT} on")
}

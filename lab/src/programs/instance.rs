//! One process, and its successors when it dies.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::process::{Child, Command};

/// The pause before a program that died is started again.
const RESTART: Duration = Duration::from_millis(100);
/// The pause when it died right after its start.
const RESTART_FAILING: Duration = Duration::from_secs(1);

/// One process and its successors.
pub(super) struct Instance {
    /// What logs and reports call it.
    pub label: String,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where its output goes.
    pub log: PathBuf,
    /// Set before it is asked to stop, so that it is not started again.
    pub stopping: AtomicBool,
    program: &'static str,
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
    state: Mutex<State>,
}

/// The process of the moment.
#[derive(Default)]
pub(super) struct State {
    /// Which it is, while it runs.
    pub pid: Option<Pid>,
    /// How often it was killed here.
    pub kills: u32,
    /// How it died when nobody here killed it.
    pub deaths: Vec<String>,
    /// Whether its coming end is our doing.
    pub killed: bool,
}

impl Instance {
    pub fn new(
        label: String,
        program: &'static str,
        binary: PathBuf,
        settings: Vec<(&'static str, String)>,
        address: SocketAddr,
        log: PathBuf,
    ) -> Self {
        let (state, stopping) = (Mutex::default(), AtomicBool::new(false));
        Self {
            label,
            address,
            log,
            stopping,
            program,
            binary,
            settings,
            state,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)?;
        let mut command = Command::new(&self.binary);
        if self.program == "api" {
            command.arg("serve");
        }
        command
            .envs(
                self.settings
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0) // Ctrl-C is for the demo, which then stops them itself
            .kill_on_drop(true);
        Ok(command.spawn()?)
    }
}

/// Starts the program, and starts it again whenever it ends, until it is to stop.
pub(super) async fn keep_alive(instance: Arc<Instance>) {
    while !instance.stopping.load(Ordering::SeqCst) {
        let started = Instant::now();
        let ended = match instance.spawn() {
            Ok(mut child) => {
                instance.lock().pid = pid(&child);
                let status = child.wait().await;
                describe(status)
            }
            Err(error) => format!("could not be started: {error:#}"),
        };
        if instance.stopping.load(Ordering::SeqCst) {
            return;
        }
        let killed = {
            let mut state = instance.lock();
            state.pid = None;
            if !state.killed {
                let log = tail(&instance.log);
                state
                    .deaths
                    .push(format!("{} {ended}\n{log}", instance.label));
            }
            std::mem::take(&mut state.killed)
        };
        let failing = !killed && started.elapsed() < RESTART_FAILING;
        tokio::time::sleep(if failing { RESTART_FAILING } else { RESTART }).await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(
        |error| format!("is lost: {error}"),
        |status| format!("ended: {status}"),
    )
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(8);
    format!(
        "  end of {}:\n    {}",
        log.display(),
        lines[from..].join("\n    ")
    )
}

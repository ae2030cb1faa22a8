//! One process, and its successors when it dies.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::process::{Child, Command};

use super::{API, Settings};

/// The pause before a program that died is started again.
const RESTART: Duration = Duration::from_millis(100);
/// The pause when it died right after its start.
const RESTART_FAILING: Duration = Duration::from_secs(1);
/// How often one that is to stay away is looked at.
const AWAY: Duration = Duration::from_millis(50);
/// Becomes a program whose session has three shares of the processors. Each step of this "nice" value is a quarter more: 1.25^5 = 3.05.
const THREE_SHARES: &str = r#"{ echo -5 >/proc/self/autogroup; } 2>/dev/null; exec "$0" "$@""#;
/// SIGKILL, with which a program ends that was told to kill itself.
const KILLED: i32 = 9;

/// One process and its successors.
pub(super) struct Instance {
    /// What logs and reports call it.
    pub label: String,
    /// Which program it is.
    pub program: &'static str,
    /// Where it says how it does.
    pub health: SocketAddr,
    /// Where it serves its clients, if it has any.
    pub door: Option<SocketAddr>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Set before it is asked to stop, so that it is not started again.
    pub stopping: AtomicBool,
    binary: PathBuf,
    settings: Settings,
    note: Option<PathBuf>,
    state: Mutex<State>,
}

/// The process of the moment.
#[derive(Default)]
pub(super) struct State {
    /// Which it is, while it runs.
    pub pid: Option<Pid>,
    /// How often it was killed here, or killed itself because it was told to.
    pub kills: u32,
    /// How it died when nobody here killed it.
    pub deaths: Vec<String>,
    /// Whether its coming end is our doing.
    pub expected: bool,
    /// Whether it is to stay away.
    pub away: bool,
    /// Settings of its own, on top of the others.
    pub own: Settings,
    /// Whether the process of the moment was told to kill itself; its successor may be told otherwise before it is buried.
    told_to_die: bool,
}

impl Instance {
    pub fn new(
        label: String,
        program: &'static str,
        binary: PathBuf,
        settings: Settings,
        health: SocketAddr,
        log: PathBuf,
    ) -> Self {
        Self {
            label,
            program,
            health,
            door: None,
            log,
            stopping: AtomicBool::new(false),
            binary,
            settings,
            note: None,
            state: Mutex::default(),
        }
    }

    /// Where its clients find it.
    pub fn behind(mut self, door: Option<SocketAddr>) -> Self {
        self.door = door;
        self
    }

    /// Notes the process in a file, so that a script can end it when this process can not.
    pub fn noted_in(mut self, file: Option<PathBuf>) -> Self {
        self.note = file;
        self
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)?;
        let mut command = in_a_session(self.program, &self.binary);
        if self.program == API {
            command.arg("serve");
        }
        let own = {
            let mut state = self.lock();
            state.told_to_die = state.own.iter().any(|(name, _)| *name == "FAILPOINTS");
            state.own.clone()
        };
        command
            .envs(self.settings.iter().chain(&own).cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn()?;
        if let (Some(file), Some(pid)) = (&self.note, child.id()) {
            note(file, pid);
        }
        Ok(child)
    }
}

/// A program in a session of its own: Ctrl-C is for the lab, which then stops them itself, and Linux shares the processors out by session.
/// The API has three shares of them, as in the compose file, where the lab may give them. The program is the process that is started.
fn in_a_session(program: &str, binary: &Path) -> Command {
    if !cfg!(target_os = "linux") {
        let mut command = Command::new(binary);
        command.process_group(0);
        return command;
    }
    let mut command = Command::new("setsid");
    if program == API {
        command.args(["sh", "-c", THREE_SHARES]);
    }
    command.arg(binary);
    command
}

/// Notes a process as `lab/engines/daemon.sh` does: its id, and when it was started.
pub fn note(file: &Path, pid: u32) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    if let Some(since) = after_name.split(' ').nth(19) {
        let _ = std::fs::write(file, format!("{pid} {since}\n"));
    }
}

/// Starts the program, and starts it again whenever it ends, until it is to stop.
pub(super) async fn keep_alive(instance: Arc<Instance>) {
    while !instance.stopping.load(Ordering::SeqCst) {
        if instance.lock().away {
            tokio::time::sleep(AWAY).await;
            continue;
        }
        let started = Instant::now();
        let ended = match instance.spawn() {
            Ok(mut child) => {
                instance.lock().pid = pid(&child);
                child.wait().await
            }
            Err(error) => Err(std::io::Error::other(format!("{error:#}"))),
        };
        if instance.stopping.load(Ordering::SeqCst) {
            return;
        }
        let expected = instance.bury(ended);
        let failing = !expected && started.elapsed() < RESTART_FAILING;
        tokio::time::sleep(if failing { RESTART_FAILING } else { RESTART }).await;
    }
}

impl Instance {
    /// Notes an end; whether it was expected.
    fn bury(&self, ended: std::io::Result<ExitStatus>) -> bool {
        let by_itself = matches!(&ended, Ok(status) if status.signal() == Some(KILLED));
        let mut state = self.lock();
        state.pid = None;
        let told_to = by_itself && state.told_to_die;
        if std::mem::take(&mut state.expected) {
            return true;
        }
        if told_to {
            state.kills += 1;
            return true;
        }
        let ended = ended.map_or_else(
            |error| format!("could not be started: {error}"),
            |status| format!("ended: {status}"),
        );
        let log = tail(&self.log);
        state.deaths.push(format!("{} {ended}\n{log}", self.label));
        false
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
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

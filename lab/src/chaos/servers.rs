//! The suite's own servers, by process id. They were started by `lab/engines`, which starts again what is killed here.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::host::within;
use crate::site::variable;

/// How long the servers may take to come back.
const UP_BOUND: Duration = Duration::from_secs(90);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// `MySQL`.
    Mysql,
    /// The broker.
    Kafka,
    /// What the `MongoDB` side stores in.
    Postgres,
    /// What speaks `MongoDB`'s protocol.
    Ferretdb,
}

impl Server {
    const fn word(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Ferretdb => "ferretdb",
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Servers {
    engines: PathBuf,
    notes: PathBuf,
}

impl Servers {
    /// The servers that the environment names.
    ///
    /// # Errors
    /// If it names none of the suite's own: nobody else's are ever touched.
    pub fn from_env() -> anyhow::Result<Self> {
        let started_by = "is not set; `make chaos` sets it";
        let engines =
            variable("CHAOS_ENGINES").with_context(|| format!("CHAOS_ENGINES {started_by}"))?;
        let state = variable("SHOP_STATE").with_context(|| format!("SHOP_STATE {started_by}"))?;
        let servers = Self {
            engines: engines.into(),
            notes: PathBuf::from(state).join("run"),
        };
        for server in [
            Server::Mysql,
            Server::Kafka,
            Server::Postgres,
            Server::Ferretdb,
        ] {
            servers.pid(server)?;
        }
        Ok(servers)
    }

    /// Where processes are noted for the scripts.
    pub fn notes(&self) -> PathBuf {
        self.notes.clone()
    }

    /// Kills a server as `kill -9` does.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&self, server: Server) -> anyhow::Result<()> {
        Ok(kill_process(self.pid(server)?, Signal::KILL)?)
    }

    /// Asks a server to stop.
    ///
    /// # Errors
    /// If it does not run.
    pub fn terminate(&self, server: Server) -> anyhow::Result<()> {
        Ok(kill_process(self.pid(server)?, Signal::TERM)?)
    }

    /// Whether a server runs.
    pub fn runs(&self, server: Server) -> bool {
        self.pid(server).is_ok()
    }

    /// Stops a server in its tracks, or lets it go on. `PostgreSQL` is one process per connection: all of them.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self, server: Server, paused: bool) -> anyhow::Result<()> {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let pid = self.pid(server)?;
        kill_process(pid, signal)?;
        for child in children(pid)? {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(child, signal);
        }
        Ok(())
    }

    /// Starts what does not run, and waits until all answer.
    ///
    /// # Errors
    /// If they do not within a bound.
    pub async fn up(&self) -> anyhow::Result<()> {
        let mut engines = Command::new(&self.engines);
        engines
            .args(["up", "--on-demand"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let Some(output) = within(UP_BOUND, engines.output()).await else {
            bail!("the servers are not up after {UP_BOUND:?}");
        };
        let output = output.context("failed to start lab/engines/engines")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the servers do not start: {said}");
        Ok(())
    }

    /// The process of a server, from the note that `lab/engines/daemon.sh` keeps: its id, and when it was started.
    fn pid(&self, server: Server) -> anyhow::Result<Pid> {
        let word = server.word();
        let file = self.notes.join(format!("{word}.pid"));
        let note = std::fs::read_to_string(&file)
            .with_context(|| format!("{word} was not started for this suite"))?;
        let mut words = note.split_whitespace();
        let pid: i32 = words.next().context("an empty note")?.parse()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("{word} does not run"))?;
        let (state, since) = state_and_start(&stat).context("a strange /proc")?;
        ensure!(
            words.next() == Some(since) && state != "Z",
            "{word} does not run"
        );
        Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))
    }
}

fn state_and_start(stat: &str) -> Option<(&str, &str)> {
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    Some((fields.next()?, fields.nth(18)?))
}

fn children(parent: Pid) -> anyhow::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent_of = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1));
        if parent_of == Some(parent.to_string().as_str()) {
            found.extend(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4711 99 3";
        assert_eq!(state_and_start(stat), Some(("S", "4711")));
    }
}

//! The suite's own servers, by process id. They were started by `lab/engines`, which starts again what is killed here.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
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
            servers.running(server)?;
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
        Ok(kill_process(self.running(server)?, Signal::KILL)?)
    }

    /// Asks a server to stop.
    ///
    /// # Errors
    /// If it does not run.
    pub fn terminate(&self, server: Server) -> anyhow::Result<()> {
        Ok(kill_process(self.running(server)?, Signal::TERM)?)
    }

    /// Whether a server runs.
    pub fn runs(&self, server: Server) -> bool {
        self.running(server).is_ok()
    }

    /// Stops a server in its tracks, or lets it go on; false if it does not run, since another fault has just killed it.
    /// `PostgreSQL` is one process per connection: all of them.
    ///
    /// # Errors
    /// If it was not started for this suite, or can not be told.
    pub fn pause(&self, server: Server, paused: bool) -> anyhow::Result<bool> {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let Some(pid) = self.pid(server)? else {
            return Ok(false);
        };
        match kill_process(pid, signal) {
            Err(Errno::SRCH) => return Ok(false),
            told => told?,
        }
        for child in children(pid)? {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(child, signal);
        }
        Ok(true)
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

    /// The process of a server that has to run.
    fn running(&self, server: Server) -> anyhow::Result<Pid> {
        let pid = self.pid(server)?;
        pid.with_context(|| format!("{} does not run", server.word()))
    }

    /// The process of a server if it runs, from the note that `lab/engines/daemon.sh` keeps: its id, and when it was started.
    fn pid(&self, server: Server) -> anyhow::Result<Option<Pid>> {
        let word = server.word();
        let file = self.notes.join(format!("{word}.pid"));
        let note = std::fs::read_to_string(&file)
            .with_context(|| format!("{word} was not started for this suite"))?;
        let mut words = note.split_whitespace();
        let pid: i32 = words.next().context("an empty note")?.parse()?;
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return Ok(None);
        };
        let (state, since) = state_and_start(&stat).context("a strange /proc")?;
        let runs = words.next() == Some(since) && state != "Z";
        Ok(Pid::from_raw(pid).filter(|_| runs))
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

    #[test]
    fn what_was_killed_meanwhile_is_neither_stopped_nor_let_go_on() -> anyhow::Result<()> {
        let notes = std::env::temp_dir().join(format!("servers-{}", std::process::id()));
        std::fs::create_dir_all(&notes)?;
        let servers = Servers {
            engines: PathBuf::new(),
            notes: notes.clone(),
        };
        let mut server = std::process::Command::new("cat")
            .stdin(Stdio::piped()) // it ends with this test, whatever becomes of that
            .spawn()?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
        let (_, since) = state_and_start(&stat).context("a strange /proc")?;
        let note = format!("{} {since}\n", server.id());
        std::fs::write(notes.join("mysql.pid"), note)?;

        assert!(servers.pause(Server::Mysql, true)?);
        servers.kill(Server::Mysql)?;
        server.wait()?;
        assert!(!servers.pause(Server::Mysql, false)?);
        assert!(!servers.pause(Server::Mysql, true)?);
        Ok(std::fs::remove_dir_all(notes)?)
    }
}

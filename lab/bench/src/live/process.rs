//! A process that the director started: what it costs, and its end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use shop_lab::programs::target;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::talk::{Answer, Ask};

/// How long a process may take to stop when asked.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// A process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    id: u32,
    log: PathBuf,
}

/// The processor time of each thread so far, in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Cpu(HashMap<String, u64>);

impl Process {
    /// Starts one, whose log has a name. Of its output only what goes to standard error is logged.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let logs = target()?.join("bench-logs");
        fs::create_dir_all(&logs).context("failed to make the directory of logs")?;
        let log = logs.join(format!("{name}.log"));
        let file =
            File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
        let child = command
            .stderr(file)
            .process_group(0) // Ctrl-C is for the director, which then stops them itself
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let id = child.id().context("it ended at once")?;
        Ok(Self { child, id, log })
    }

    /// The processor time that it took so far, by the scheduler's own account: ticks of 10 ms are too coarse for a plain
    /// broadcast.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of(self.id).with_context(|| self.gone())
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id));
        let status = status.with_context(|| self.gone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("VmRSS is missing")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// How many files it has open.
    pub fn open_files(&self) -> anyhow::Result<usize> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id));
        Ok(files.with_context(|| self.gone())?.count())
    }

    /// Asks it to stop, and kills it if it does not.
    pub async fn stop(mut self) {
        if let Some(pid) = i32::try_from(self.id).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_BOUND, self.child.wait()).await.is_err() {
            eprintln!("process {} does not stop; killed", self.id);
            let _ = self.child.kill().await;
        }
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What to say about one that is not there any more.
    pub fn gone(&self) -> String {
        format!("process {} is gone: see {}", self.id, self.log.display())
    }
}

impl Cpu {
    /// What the threads of a process took so far.
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let threads = fs::read_dir(format!("/proc/{process}/task"));
        let mut times = HashMap::new();
        for thread in threads.with_context(|| format!("process {process} is gone"))? {
            let thread = thread?;
            // A thread may end meanwhile; it has been idle for long then.
            let Ok(times_of) = fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let running = times_of.split(' ').next().unwrap_or_default();
            let running = running.parse().context("an unknown form of schedstat")?;
            times.insert(thread.file_name().to_string_lossy().into_owned(), running);
        }
        ensure!(
            !times.is_empty(),
            "this kernel does not tell processor times (schedstat)"
        );
        Ok(Self(times))
    }

    /// What was taken since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Duration {
        let times = self.0.iter().map(|(thread, time)| {
            let before = earlier.0.get(thread).copied().unwrap_or_default();
            time.saturating_sub(before)
        });
        Duration::from_nanos(times.sum())
    }
}

/// A process that is told what to do by lines.
pub(crate) struct Helper {
    /// The process.
    pub process: Process,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts one.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(name, command)?;
        let stdin = process.child.stdin.take().context("no standard input")?;
        let stdout = process.child.stdout.take().context("no standard output")?;
        Ok(Self {
            process,
            stdin,
            answers: BufReader::new(stdout).lines(),
        })
    }

    /// One of the roles of `bench-sockets`.
    pub fn sockets(role: &str) -> anyhow::Result<Self> {
        let file = released("bench-sockets")?;
        Self::start(role, Command::new(file).arg(role))
    }

    /// Tells it something.
    pub async fn tell(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        let told = self.stdin.write_all(&line).await;
        told.with_context(|| self.process.gone())
    }

    /// What it answers, within a bound.
    pub async fn hear(&mut self, bound: Duration) -> anyhow::Result<Answer> {
        let line = timeout(bound, self.answers.next_line()).await;
        let line = line.with_context(|| format!("no answer within {bound:?}"))??;
        match parse(&line.with_context(|| self.process.gone())?)? {
            Answer::Failed(problem) => bail!("{problem}"),
            answer => Ok(answer),
        }
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).with_context(|| format!("{line:.200} is no answer"))
}

/// A binary that was built for release.
pub(crate) fn released(binary: &str) -> anyhow::Result<PathBuf> {
    let file = target()?.join("release").join(binary);
    ensure!(
        file.is_file(),
        "{} is missing: run `make bench-live`",
        file.display()
    );
    Ok(file)
}

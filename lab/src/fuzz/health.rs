//! How the API does meanwhile: whether it is ready, what it holds, and what its log says.

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::board::Board;
use crate::programs::{PROGRAMS, Programs};

/// Who is fuzzed.
pub const API: &str = "api";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long the API may take to say that it is ready.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it may take until connections that were left are closed.
const SETTLING: Duration = Duration::from_secs(90);
/// Lines of a kind that are told of a log, at most.
const LINES: usize = 5;

/// What the API holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Memory, in KiB.
    pub kib: u64,
    /// Open files.
    pub files: usize,
}

/// Asks again and again whether the API is ready, until it is dropped.
pub async fn watch(programs: &Programs, board: &Board) -> anyhow::Result<Infallible> {
    let health = programs.health(API).context("the API is not there")?;
    let http = reqwest::Client::builder()
        .timeout(ANSWER)
        .no_proxy()
        .build()?;
    let mut next = tokio::time::interval(EVERY);
    let mut was_ready = true;
    loop {
        next.tick().await;
        let answer = http.get(format!("http://{health}/readyz")).send().await;
        let problem = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("{}", answer.status())),
            Err(error) => Some(format!("{:#}", anyhow::Error::from(error))),
        };
        if let Some(problem) = &problem
            && was_ready
        {
            board.find(format!("the API is not ready: {problem}"));
        }
        was_ready = problem.is_none();
    }
}

/// What the API holds now.
///
/// # Errors
/// If it does not run.
pub fn held(programs: &Programs) -> anyhow::Result<Held> {
    let process = programs.process(API).context("the API does not run")?;
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))?;
    Ok(Held {
        kib: programs.resident_kib(API).context("the API does not run")?,
        files: files.count(),
    })
}

/// What the API holds once it has no more files open than these, or after a while.
///
/// # Errors
/// If it does not run.
pub async fn settled(programs: &Programs, files: usize) -> anyhow::Result<Held> {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let held = held(programs)?;
        if held.files <= files || begun.elapsed() > SETTLING {
            return Ok(held);
        }
    }
}

/// Notes what the programs' logs say of panics, and the API's of errors.
///
/// # Errors
/// If a log can not be read.
pub fn read_logs(logs: &Path, board: &Board) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let file = logs.join(format!("{program}.log"));
        let log =
            File::open(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let (mut panics, mut errors) = (0, 0);
        for line in BufReader::new(log).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            let panics_here = line.contains("panic in thread") || line.contains("panicked at");
            let fails = program == API && line.contains(" ERROR ");
            if panics_here && panics < LINES {
                panics += 1;
                board.find(format!("{program} panicked: {line:.500}"));
            } else if fails && errors < LINES {
                errors += 1;
                board.find(format!("{program} logged an error: {line:.500}"));
            }
        }
    }
    Ok(())
}

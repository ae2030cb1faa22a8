//! The operator's command line, run as an operator does.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use super::{binaries, environment};
use crate::site::Site;

/// What a run of it came to.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub out: String,
    /// What it said besides.
    pub err: String,
}

impl Said {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.status.success()
    }
}

/// Runs `ops` for a shop, without a terminal.
///
/// # Errors
/// If it can not be started, or takes longer than the bound.
pub async fn ops(site: &Site, arguments: &[&str], bound: Duration) -> anyhow::Result<Said> {
    let mut ops = Command::new(binaries()?.join("ops"));
    ops.args(arguments)
        .envs(environment(site, "ops"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(bound, ops.output()).await;
    let output = output.with_context(|| format!("ops {arguments:?} takes too long"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        status: output.status,
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

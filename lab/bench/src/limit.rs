//! How many files this process and those that it starts may have open; a socket is one.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system lets it.
///
/// # Errors
/// If that is less than what is needed; the message says what to do.
pub fn raise(needed: usize) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("failed to raise the limit of open files")?;
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        allowed >= u64::try_from(needed)?,
        "a process may open {allowed} files here, and {needed} are needed: raise the hard limit (ulimit -Hn)"
    );
    Ok(())
}

//! A shop of a scenario's own, from the first database to the last dropped topic.

use super::{Progress, interrupted};
use crate::programs::{Plan, Programs};
use crate::site::Site;

/// Opens a shop, has the work done in it, and closes it whatever became of the work; a signal ends the work.
///
/// `name` is in the names of its database and topics.
///
/// # Errors
/// If the shop can not be opened, the work fails, or a signal comes.
pub async fn in_a_shop<T>(
    name: &str,
    plan: &Plan,
    progress: &Progress,
    work: impl AsyncFnOnce(&Site, &Programs) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    progress.set("a database of its own");
    let site = Site::create(name).await?;
    let ended = with_programs(&site, plan, progress, work).await;
    progress.set("cleaning up");
    site.remove().await;
    progress.finish();
    ended
}

async fn with_programs<T>(
    site: &Site,
    plan: &Plan,
    progress: &Progress,
    work: impl AsyncFnOnce(&Site, &Programs) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    progress.set("tables, topics, and the programs");
    let programs = tokio::select! {
        programs = Programs::start(site, plan) => programs?,
        signal = interrupted() => anyhow::bail!("stopped by {signal}"),
    };
    let ended = tokio::select! {
        ended = work(site, &programs) => ended,
        // The clients go first, then the programs are stopped properly.
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    progress.set("stopping the programs");
    programs.stop().await;
    ended
}

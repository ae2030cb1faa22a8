//! `PAUSE=1`: two relays; the one that sends is stopped in its tracks for ten seconds under load.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::check::Violation;
use crate::programs::Programs;
use crate::stage::Load;
use crate::stage::Run;

/// How long the relay is stopped.
const PAUSE: Duration = Duration::from_secs(10);
/// Within which time the other one must take over.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// How often a new client comes; those in between wait and do not hold it up.
const EVERY: Duration = Duration::from_millis(100);
/// How long frames may be under way that were sent before.
const UNDER_WAY: Duration = Duration::from_millis(800);
const RELAYS: [&str; 2] = ["outbox-relay", "outbox-relay-2"];

/// Runs orders, pauses the leader meanwhile. Returns how long no frame came.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(run: &Run, programs: &Programs) -> anyhow::Result<Duration> {
    let (load, mut clients) = Load::steady(run, EVERY);
    load.nobody_leaves();
    tokio::time::sleep(Duration::from_secs(3)).await;

    // Which one leads is their own business: stop one, and if frames keep coming it was the other.
    let mut stopped = None;
    for relay in RELAYS {
        let at = Instant::now();
        anyhow::ensure!(programs.pause(relay, true), "{relay} is not running");
        tokio::time::sleep(2 * UNDER_WAY).await;
        if run.journal.arrivals_since(at + UNDER_WAY).is_empty() {
            stopped = Some((relay, at));
            break;
        }
        programs.pause(relay, false);
        tokio::time::sleep(UNDER_WAY).await;
    }
    let (leader, at) = stopped.context("frames kept coming whichever relay was stopped")?;
    run.progress.set(format!(
        "{leader} led and is stopped; waiting for the other one"
    ));
    tokio::time::sleep(PAUSE.saturating_sub(at.elapsed())).await;
    anyhow::ensure!(
        programs.pause(leader, false),
        "{leader} died while it was stopped"
    );
    let resumed = Instant::now();
    run.progress.set(format!("{leader} goes on"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    load.stop();
    while clients.join_next().await.is_some() {}

    let first = run.journal.arrivals_since(at + UNDER_WAY).into_iter().min();
    let gap = first.map_or(PAUSE, |first| first - at);
    if gap > TAKE_OVER || first.is_none_or(|first| first >= resumed) {
        let problem = format!("no frame for {gap:?} after it was stopped");
        run.violate(Violation::new(12, leader, problem));
    }
    Ok(gap)
}

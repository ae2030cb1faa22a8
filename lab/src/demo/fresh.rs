//! `FRESH=n`: n orders, each read back by its buyer at once, with `minVersion` and without, while a projector is killed now and then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::kill::CONVERGE_BOUND;
use crate::check::Violation;
use crate::check::evidence::Kind;
use crate::client::documents;
use crate::programs::Programs;
use crate::stage::Run;

/// `PAYMENT_TIMEOUT`: nobody pays, and nothing is called off.
pub const PAYMENT_TIMEOUT: &str = "2h";
const BUYERS: usize = 6;
/// Between two kills.
const EVERY: Duration = Duration::from_secs(15);
/// From the moment a killed projector says that it is ready until it has worked off what came meanwhile.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Of all answers outside of these windows, how many in a thousand must be fresh.
const FRESH_PER_MILLE: usize = 990;

/// What came of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// The version that was asked for, or a newer one.
    Fresh,
    /// The view does not have it yet, and the answer says so.
    NotYet,
    /// An older state, or none, as if it were the newest.
    Stale,
}

/// A question with `minVersion`.
struct Sample {
    from: Instant,
    to: Instant,
    read: Read,
}

/// What buyers share.
#[derive(Default)]
struct Tally {
    samples: Mutex<Vec<Sample>>,
    begun: AtomicUsize,
    stale_without: AtomicUsize,
}

/// Runs it; returns when a projector was killed last, and what to say about it.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(
    run: &Run,
    programs: &Programs,
    orders: usize,
) -> anyhow::Result<(Instant, Vec<String>)> {
    let tally = Arc::new(Tally::default());
    let mut buyers = JoinSet::new();
    for _ in 0..BUYERS {
        let (run, tally) = (run.clone(), tally.clone());
        buyers.spawn(async move {
            while tally.begun.fetch_add(1, Ordering::SeqCst) < orders {
                buy(&run, &tally).await?;
            }
            anyhow::Ok(())
        });
    }
    let mut windows = Vec::new();
    let mut next = tokio::time::interval_at((Instant::now() + EVERY / 2).into(), EVERY);
    loop {
        tokio::select! {
            ended = buyers.join_next() => match ended {
                Some(ended) => ended.context("a buyer failed")??,
                None => break,
            },
            _ = next.tick() => windows.push(kill(run, programs, &tally, orders).await?),
        }
    }
    let samples = std::mem::take(&mut *lock(&tally.samples));
    let stale_without = tally.stale_without.load(Ordering::SeqCst);
    let last = windows.last().map_or_else(Instant::now, |(from, _)| *from);
    Ok((last, judge(run, &samples, &windows, stale_without)))
}

/// Kills the projector, and waits until it is back; the time for which nothing is promised.
async fn kill(
    run: &Run,
    programs: &Programs,
    tally: &Tally,
    orders: usize,
) -> anyhow::Result<(Instant, Instant)> {
    let from = Instant::now();
    while !programs.kill("projector") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    programs.ready(CONVERGE_BOUND).await?;
    let begun = tally.begun.load(Ordering::SeqCst).min(orders);
    run.progress
        .set(format!("{begun} of {orders} orders placed and read back"));
    Ok((from, Instant::now() + CATCH_UP))
}

async fn buy(run: &Run, tally: &Tally) -> anyhow::Result<()> {
    let (customer, lines) = (run.catalogue.customer(), run.catalogue.some_lines());
    let placed = run.shop.place_orders(customer, &[lines]).await?;
    let (id, version) = *placed.first().context("one order")?;
    let from = Instant::now();
    let variables = json!({ "id": format!("order_{id}"), "minVersion": version });
    let (shop, buyer) = (&run.shop, run.shop.buyer(id)?);
    let (with, without) = tokio::join!(
        shop.ask(&buyer, documents::ORDER_AT_LEAST, variables.clone()),
        shop.ask(&buyer, documents::ORDER, variables),
    );
    let to = Instant::now();
    let read = read(&with?, version);
    if read == Read::Stale {
        let problem = format!("a query with minVersion {version} got an older state");
        run.violate(Violation::new(8, Kind::Order.id(id), problem));
    }
    lock(&tally.samples).push(Sample { from, to, read });
    if self::read(&without?, version) == Read::Stale {
        tally.stale_without.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn read(response: &Value, version: u32) -> Read {
    // Who is turned away has got no older state.
    let code = response["errors"][0]["extensions"]["code"].as_str();
    if matches!(code, Some("NOT_YET" | "OVERLOADED")) {
        return Read::NotYet;
    }
    match response["data"]["order"]["version"].as_u64() {
        Some(seen) if seen >= u64::from(version) => Read::Fresh,
        _ => Read::Stale,
    }
}

fn judge(
    run: &Run,
    samples: &[Sample],
    windows: &[(Instant, Instant)],
    stale_without: usize,
) -> Vec<String> {
    let count = |read| samples.iter().filter(|sample| sample.read == read).count();
    let hit = |sample: &&Sample| {
        let meets = |(from, to): &(Instant, Instant)| sample.from < *to && *from < sample.to;
        !windows.iter().any(meets)
    };
    let outside: Vec<&Sample> = samples.iter().filter(hit).collect();
    let fresh = outside.iter().filter(|one| one.read == Read::Fresh).count();
    if fresh * 1000 < outside.len() * FRESH_PER_MILLE || outside.is_empty() {
        let problem = format!(
            "{fresh} of {} answers were fresh while nothing was killed",
            outside.len()
        );
        run.violate(Violation::new(8, "minVersion", problem));
    }
    if stale_without == 0 {
        let problem = "no query without minVersion was stale: this run shows nothing".to_owned();
        run.violate(Violation::new(8, "the control", problem));
    }
    vec![
        format!(
            "with minVersion: {} fresh, {} not yet, {} stale; while no projector was away {fresh} of {} fresh",
            count(Read::Fresh),
            count(Read::NotYet),
            count(Read::Stale),
            outside.len()
        ),
        format!(
            "without minVersion: {stale_without} of {} stale",
            samples.len()
        ),
        format!("projector killed {} times", windows.len()),
    ]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

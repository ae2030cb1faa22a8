//! `REBUILD=1`: `ops views rebuild` and `ops audit` of a full shop, while clients change orders, ask, and subscribe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::check::evidence::Watched;
use crate::check::{Violation, plant};
use crate::client::{Watch, documents};
use crate::programs::ops;
use crate::site::Site;
use crate::stage::{Load, Run};

/// `PAYMENT_TIMEOUT`: what fills the shop is not paid, and not called off.
pub const PAYMENT_TIMEOUT: &str = "6h";
/// How many requests at once fill the shop, and how many orders each of them places.
const FILLERS: usize = 4;
const PER_REQUEST: usize = 10;
/// How many subscribers look at orders that do not change.
const SUBSCRIBERS: usize = 100;
/// An order has 3.6 mutations on average: fifty in a second, and some to spare.
const ORDER_EVERY: Duration = Duration::from_millis(65);
/// Between two queries.
const QUERY_EVERY: Duration = Duration::from_millis(20);
/// For whatever waits for a shop of this size.
const BOUND: Duration = Duration::from_hours(1);

/// Fills the shop with so many orders and rebuilds its views; returns what to say about it.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(run: &Run, site: &Site, orders: usize) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    let begun = Instant::now();
    let filled = fill(run, orders).await?;
    run.progress.set("waiting until the views have them");
    let watches = subscribe(run, &filled).await?;
    notes.push(format!("filled in {:.0} s", begun.elapsed().as_secs_f64()));

    let still: Vec<Uuid> = filled[filled.len().saturating_sub(SUBSCRIBERS)..].to_vec();
    let before = streams(run, &still);
    let (load, mut clients) = Load::steady(run, ORDER_EVERY);
    let reader = Asker::start(run, filled);
    let (mutations, since) = (acknowledged(run), Instant::now());

    run.progress.set("ops views rebuild");
    let clean = ops(site, &["views", "rebuild", "--yes"], BOUND).await?;
    notes.push(format!("rebuild: {}", last_line(&clean.out)));
    if !clean.ok() {
        let problem = format!("ended with {}: {}{}", clean.status, clean.out, clean.err);
        run.violate(Violation::new(8, "ops views rebuild", problem));
    }

    run.progress.set("ops views rebuild, with a planted fault");
    let order = plant::set_back(site).await?;
    let found = ops(site, &["views", "rebuild", "--yes"], BOUND).await?;
    let named = found.out.contains(&order.to_string()) || found.err.contains(&order.to_string());
    notes.push(format!(
        "the view of order_{order} set back: the rebuild ended with {}, {}",
        found.status,
        if named { "and named it" } else { "unnamed" }
    ));
    if found.ok() || !named {
        let problem = format!("{}{}", found.out, found.err);
        run.violate(Violation::new(8, "a planted fault was not found", problem));
    }
    let accepted = ops(site, &["views", "rebuild", "--accept", "--yes"], BOUND).await?;
    ensure!(accepted.ok(), "{}{}", accepted.out, accepted.err);

    let rate =
        f64::from(u32::try_from(acknowledged(run) - mutations)?) / since.elapsed().as_secs_f64();
    run.progress.set("ops audit");
    let begun = Instant::now();
    let audit = ops(site, &["audit"], BOUND).await?;
    let took = begun.elapsed().as_secs_f64();
    notes.push(format!("audit in {took:.1} s: {}", last_line(&audit.out)));
    if !audit.ok() {
        let problem = format!("{}{}", audit.out, audit.err);
        run.violate(Violation::new(8, "ops audit", problem));
    }

    let (asked, failed) = reader.stop();
    load.stop();
    run.progress.set("the last orders");
    while clients.join_next().await.is_some() {}
    let after = streams(run, &still);
    let open = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    notes.push(format!(
        "meanwhile: {rate:.0} mutations/s, {asked} queries of which {failed} failed, \
         {open} of {} streams of settled orders open and silent",
        still.len()
    ));
    if failed > 0 || open < still.len() {
        let problem = format!(
            "{failed} queries failed, {} streams closed or told something",
            still.len() - open
        );
        run.violate(Violation::new(9, "a rebuild was noticed", problem));
    }
    for watch in watches {
        run.watch_on(watch);
    }
    Ok(notes)
}

/// Places orders, many to a request.
async fn fill(run: &Run, orders: usize) -> anyhow::Result<Vec<Uuid>> {
    let left = Arc::new(AtomicUsize::new(orders.div_ceil(PER_REQUEST)));
    let mut fillers = JoinSet::new();
    for _ in 0..FILLERS {
        let (run, left) = (run.clone(), left.clone());
        fillers.spawn(async move {
            let mut placed = Vec::new();
            let take = |left: usize| left.checked_sub(1);
            while let Ok(left) = left.try_update(Ordering::SeqCst, Ordering::SeqCst, take) {
                let lines: Vec<_> = (0..PER_REQUEST)
                    .map(|_| run.catalogue.some_lines())
                    .collect();
                let done = run
                    .shop
                    .place_orders(run.catalogue.customer(), &lines)
                    .await?;
                placed.extend(done.into_iter().map(|(id, _)| id));
                run.progress.set(format!(
                    "{} of {orders} orders left to place",
                    left * PER_REQUEST
                ));
            }
            anyhow::Ok(placed)
        });
    }
    let mut filled = Vec::new();
    while let Some(placed) = fillers.join_next().await {
        filled.extend(placed??);
    }
    // In the order of their creation, which their ids tell.
    filled.sort_unstable();
    Ok(filled)
}

/// Subscribes their buyers to the newest orders, and waits until each has got its stock: then those before it have too.
async fn subscribe(run: &Run, filled: &[Uuid]) -> anyhow::Result<Vec<Watch>> {
    let newest = &filled[filled.len().saturating_sub(SUBSCRIBERS)..];
    let watches: Vec<Watch> = newest
        .iter()
        .map(|order| run.shop.watch_order(*order))
        .collect::<anyhow::Result<_>>()?;
    for watch in &watches {
        watch.reached(&["CONFIRMED"], BOUND).await?;
    }
    Ok(watches)
}

/// Connections and frames of some orders' subscribers.
fn streams(run: &Run, orders: &[Uuid]) -> Vec<Vec<usize>> {
    let watched = run.journal.watched();
    let of = |order: &Uuid| watched.iter().find(|one| one.order == *order);
    let counts = |one: &Watched| one.connections.iter().map(Vec::len).collect();
    orders
        .iter()
        .map(|order| of(order).map(counts).unwrap_or_default())
        .collect()
}

fn acknowledged(run: &Run) -> usize {
    run.journal.clients().acknowledged.len()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// Asks for orders as their buyers, and counts what fails.
struct Asker {
    counts: Arc<[AtomicUsize; 2]>,
    task: JoinHandle<()>,
}

impl Asker {
    fn start(run: &Run, orders: Vec<Uuid>) -> Self {
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (run, noted) = (run.clone(), counts.clone());
        let task = tokio::spawn(async move {
            loop {
                let order = fastrand::choice(&orders).copied().unwrap_or_default();
                let variables = json!({ "id": format!("order_{order}") });
                let right = match run.shop.buyer(order) {
                    Ok(buyer) => {
                        let answer = run.shop.ask(&buyer, documents::ORDER, variables).await;
                        answer.is_ok_and(|answer| {
                            answer["data"]["order"]["version"].as_u64() >= Some(2)
                        })
                    }
                    Err(_) => false,
                };
                noted[0].fetch_add(1, Ordering::SeqCst);
                if !right {
                    noted[1].fetch_add(1, Ordering::SeqCst);
                }
                tokio::time::sleep(QUERY_EVERY).await;
            }
        });
        Self { counts, task }
    }

    /// How many queries there were, and how many of them failed.
    fn stop(self) -> (usize, usize) {
        self.task.abort();
        let [asked, failed] = &*self.counts;
        (asked.load(Ordering::SeqCst), failed.load(Ordering::SeqCst))
    }
}

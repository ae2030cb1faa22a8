//! Many clients at once, with orders of all kinds, until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::figures::Hop;
use super::run::Run;
use crate::check::Violation;
use crate::check::evidence::Kind;
use crate::client::shop::{Placed, Step};

/// How long a frame may take while programs are killed.
const PATIENCE: Duration = Duration::from_mins(1);
const CLIENTS: usize = 6;

/// Clients at work. A copy steers the same clients.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    /// No more orders.
    stop: AtomicBool,
    /// No more orders that are left to their payment time.
    nobody_leaves: AtomicBool,
    started: AtomicUsize,
    finished: AtomicUsize,
    /// How long a frame may take, in milliseconds; 0 for the usual time.
    patience: AtomicU64,
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Delivered,
    CanceledAfter(&'static str),
    Rejected,
    LeftUnpaid,
}

fn fate(nobody_leaves: bool) -> Fate {
    match fastrand::u8(0..100) {
        0..12 => Fate::CanceledAfter("CONFIRMED"),
        12..20 => Fate::CanceledAfter("PAID"),
        20..25 => Fate::CanceledAfter("PROCESSING"),
        25..35 => Fate::Rejected,
        35..45 if !nobody_leaves => Fate::LeftUnpaid,
        _ => Fate::Delivered,
    }
}

impl Load {
    /// Starts the clients.
    pub fn start(run: &Run) -> (Self, JoinSet<()>) {
        let load = Self::default();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (load, run) = (load.clone(), run.clone());
            clients.spawn(async move {
                while !load.0.stop.load(Ordering::SeqCst) {
                    load.one(&run).await;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                }
            });
        }
        (load, clients)
    }

    /// Starts clients that come at a steady pace, however long those before them have to wait.
    pub fn steady(run: &Run, every: Duration) -> (Self, JoinSet<()>) {
        let load = Self::default();
        let mut clients = JoinSet::new();
        let (door, run) = (load.clone(), run.clone());
        clients.spawn(async move {
            let mut inside = JoinSet::new();
            while !door.0.stop.load(Ordering::SeqCst) {
                let (load, run) = (door.clone(), run.clone());
                inside.spawn(async move { load.one(&run).await });
                tokio::time::sleep(every).await;
            }
            while inside.join_next().await.is_some() {}
        });
        (load, clients)
    }

    /// How long a frame may take from now on.
    pub fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.0.patience.store(millis, Ordering::SeqCst);
    }

    fn patience(&self) -> Duration {
        match self.0.patience.load(Ordering::SeqCst) {
            0 => PATIENCE,
            millis => Duration::from_millis(millis),
        }
    }

    /// From now on every order is paid, canceled or rejected.
    pub fn nobody_leaves(&self) {
        self.0.nobody_leaves.store(true, Ordering::SeqCst);
    }

    /// No more orders; those in hand are brought to their end.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Orders that are on their way.
    pub fn in_flight(&self) -> usize {
        let (started, finished) = self.counts();
        started.saturating_sub(finished)
    }

    /// Orders that were sent, and those that are through.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.0.started.load(Ordering::SeqCst),
            self.0.finished.load(Ordering::SeqCst),
        )
    }

    async fn one(&self, run: &Run) {
        let fate = fate(self.0.nobody_leaves.load(Ordering::SeqCst));
        let lines = match fate {
            Fate::Rejected => run.catalogue.too_much(),
            _ => run.catalogue.some_lines(),
        };
        self.0.started.fetch_add(1, Ordering::SeqCst);
        match run
            .shop
            .create_order(run.catalogue.customer(), &lines)
            .await
        {
            Ok(Some(placed)) => {
                run.keep(placed.id);
                if let Err(error) = live(run, &placed, fate, self.patience()).await {
                    let order = Kind::Order.id(placed.id);
                    run.violate(Violation::new(12, order, format!("{fate:?}: {error:#}")));
                }
                run.watch_on(placed.watch);
            }
            Ok(None) => {} // the answer was lost
            Err(error) => {
                run.violate(Violation::new(12, "createOrder", format!("{error:#}")));
            }
        }
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

async fn live(run: &Run, placed: &Placed, fate: Fate, bound: Duration) -> anyhow::Result<()> {
    if matches!(fate, Fate::Rejected) {
        let arrival = placed
            .watch
            .reached(&["REJECTED", "CONFIRMED"], bound)
            .await?;
        anyhow::ensure!(arrival.frame.status == "REJECTED", "got what there is not");
        run.figures
            .note(Hop::CreateRejected, arrival.at - placed.sent);
        return Ok(());
    }
    let arrival = placed
        .watch
        .reached(&["CONFIRMED", "REJECTED", "CANCELED"], bound)
        .await?;
    if arrival.frame.status == "CANCELED" {
        // The first look at it came after its payment time.
        return Ok(());
    }
    anyhow::ensure!(
        arrival.frame.status == "CONFIRMED",
        "was rejected though there is plenty"
    );
    run.figures
        .note(Hop::CreateConfirmed, arrival.at - placed.sent);
    if matches!(fate, Fate::LeftUnpaid) {
        return Ok(());
    }
    for (hop, status) in [
        (Hop::CancelCanceled, "CONFIRMED"),
        (Hop::PayPaid, "PAID"),
        (Hop::UpdateProcessing, "PROCESSING"),
        (Hop::UpdateShipped, "SHIPPED"),
        (Hop::UpdateDelivered, "DELIVERED"),
    ] {
        if status != "CONFIRMED" {
            let (answer, sent) = match status {
                "PAID" => run.shop.pay(placed.id).await?,
                _ => run.shop.advance(placed.id, status).await?,
            };
            if let Step::Refused(code, from) = answer {
                return overtaken(placed, &code, from.as_deref(), bound).await;
            }
            let arrival = placed.watch.reached(&[status], bound).await?;
            run.figures
                .note(hop, arrival.at.saturating_duration_since(sent));
        }
        if let Fate::CanceledAfter(last) = fate
            && last == status
        {
            let (answer, sent) = run.shop.cancel(placed.id, "changed my mind").await?;
            if let Step::Refused(code, from) = answer {
                return overtaken(placed, &code, from.as_deref(), bound).await;
            }
            let arrival = placed.watch.reached(&["CANCELED"], bound).await?;
            run.figures.note(
                Hop::CancelCanceled,
                arrival.at.saturating_duration_since(sent),
            );
            return Ok(());
        }
    }
    Ok(())
}

/// The only thing that may get in the way of a client is the payment time.
async fn overtaken(
    placed: &Placed,
    code: &str,
    from: Option<&str>,
    bound: Duration,
) -> anyhow::Result<()> {
    let canceled = code.contains("REFUND_DUE") || from == Some("CANCELED");
    anyhow::ensure!(canceled, "was refused: {code} (from {from:?})");
    placed
        .watch
        .reached(&["CANCELED"], bound)
        .await
        .context("was refused as canceled")?;
    Ok(())
}

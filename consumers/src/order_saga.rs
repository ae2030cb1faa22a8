//! `order-saga`: carries each order from PENDING to CONFIRMED or REJECTED, and calls it off when its payment time runs out.
//!
//! Reads topic `stock`; writes `orders`, `order_items`, `order_transitions`, `payments` and the outbox (events `order.*`).
//! At least once: a batch is one transaction, its offsets are stored after the commit. A duplicate finds its event in
//! `processed_events`, or its order no longer PENDING, and changes nothing. After a crash between commit and offset the
//! whole batch comes again and is all duplicates.
//!
//! Every copy looks for unpaid orders, by MySQL's clock; the row lock lets one of them cancel each.

use std::sync::Arc;

use anyhow::Context;
use shop_core::bus::{self, HandleError, Outcome, Role};
use shop_core::commands::orders::{
    Settled, StockVerdict, VerdictRecord, cancel_unpaid, settle_verdicts,
};
use shop_core::db::Db;
use shop_core::domain::stock::HoldState;
use shop_core::events::{Envelope, Payload, Topic};
use shop_core::runtime::{Runtime, Settings, Shutdown, backoff::Backoff, clock};

/// The name of the role, its consumer group and its inbox.
pub const NAME: &str = "order-saga";

/// Unpaid orders canceled in one transaction, at most.
const EXPIRY_BATCH: usize = 200;

/// The role: see the module.
pub struct OrderSaga {
    db: Db,
}

impl OrderSaga {
    /// The role over a write side.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Role for OrderSaga {
    fn name(&self) -> &'static str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &[Topic::Stock]
    }

    async fn handle(&self, batch: &[Envelope]) -> Result<Vec<Outcome>, HandleError> {
        let records: Vec<VerdictRecord> = batch.iter().filter_map(record).collect();
        let settled = settle_verdicts(&self.db, clock::now(), NAME, &records)
            .await
            .map_err(|error| crate::handle_error(error, "failed to settle a batch of orders"))?;
        let mut settled = settled.into_iter();
        Ok(batch
            .iter()
            .map(
                |envelope| match record(envelope).and_then(|_| settled.next()) {
                    Some(Settled::Changed) => Outcome::Applied,
                    Some(Settled::Repeat) => Outcome::Duplicate,
                    // Late, or a decision that asks nothing of the saga: released, shipped.
                    Some(Settled::TooLate) | None => Outcome::Refused,
                },
            )
            .collect())
    }
}

/// What a record says to this role; nothing, if `None`. Pure.
pub fn record(envelope: &Envelope) -> Option<VerdictRecord> {
    let Payload::Stock(decision) = &envelope.event.payload else {
        return None;
    };
    let verdict = match decision.state? {
        HoldState::Held => StockVerdict::Reserved,
        HoldState::Rejected => StockVerdict::Rejected(decision.shortages.clone()),
        HoldState::Released | HoldState::Shipped => return None,
    };
    Some(VerdictRecord {
        event_id: envelope.event.id,
        trace: envelope.event.trace.clone(),
        order_id: decision.order_id,
        verdict,
    })
}

/// Cancels what was not paid in time, at once while there is a full batch of it, until the shutdown.
async fn watch_payment_time(db: Db, settings: Arc<Settings>, shutdown: Shutdown) {
    let mut backoff = Backoff::default();
    while !shutdown.is_requested() {
        let due = cancel_unpaid(&db, clock::now(), settings.payment_timeout, EXPIRY_BATCH).await;
        let pause = match due {
            Ok(canceled) if canceled.len() == EXPIRY_BATCH => continue,
            Ok(_) => {
                backoff.reset();
                settings.payment_check_interval
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                crate::complain("failed to look for unpaid orders, trying again", &error);
                backoff.next()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return,
        }
    }
}

const WATCH_STOPPED: &str = "the watch over payment times stopped";

/// Runs the program until it is told to stop.
///
/// # Errors
/// If it can not go on: a static member that another copy has taken, a broken setting.
pub async fn run(runtime: Runtime) -> anyhow::Result<()> {
    let settings = &runtime.settings;
    let db = Db::new(&settings.mysql, settings.kafka.encoding)?;
    db.probe_for(&runtime.health);
    let mut watch = tokio::spawn(watch_payment_time(
        db.clone(),
        settings.clone(),
        runtime.shutdown.clone(),
    ));
    let role = Arc::new(OrderSaga::new(db.clone()));
    let shutdown = runtime.shutdown.clone();
    let consuming = bus::consume(role, &db, settings, shutdown, Some(&runtime.health));
    tokio::pin!(consuming);
    tokio::select! {
        done = &mut consuming => {
            done?;
            watch.await.context(WATCH_STOPPED)
        }
        // A program that no longer cancels what is not paid must not look well.
        ended = &mut watch => {
            ended.context(WATCH_STOPPED)?;
            consuming.await
        }
    }
}

//! `stock-reservation`: the only program that moves stock for orders.
//!
//! Reads topic `orders`; writes `stock`, `stock_orders`, `stock_order_lines`, the ledger and the outbox (events `stock.*`).
//! At least once: a batch is one transaction, its offsets are stored after the commit. A duplicate finds its event in
//! `processed_events`, or its order already acted on, and changes nothing. After a crash between commit and offset the
//! whole batch comes again and is all duplicates.
//!
//! It looks at what an order now is, not at the step an event names: PENDING and nothing decided, hold all lines or reject;
//! CANCELED and held, release; SHIPPED or later and held, ship.

use std::sync::Arc;

use shop_core::bus::{self, HandleError, Outcome, Role};
use shop_core::commands::stock::{OrderRecord, settle_orders};
use shop_core::db::Db;
use shop_core::domain::Order;
use shop_core::domain::stock::{Decision, OrderFacts, Units};
use shop_core::events::{Envelope, Payload, Topic};
use shop_core::runtime::{Runtime, clock};

/// The name of the role, its consumer group and its inbox.
pub const NAME: &str = "stock-reservation";

/// The role: see the module.
pub struct StockReservation {
    db: Db,
}

impl StockReservation {
    /// The role over a write side.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Role for StockReservation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &[Topic::Orders]
    }

    async fn handle(&self, batch: &[Envelope]) -> Result<Vec<Outcome>, HandleError> {
        let records: Vec<OrderRecord> = batch.iter().filter_map(record).collect();
        let decisions = settle_orders(&self.db, clock::now(), NAME, &records)
            .await
            .map_err(|error| {
                crate::handle_error(error, "failed to settle the stock of a batch of orders")
            })?;
        let mut decisions = decisions.into_iter();
        Ok(batch
            .iter()
            .map(
                |envelope| match record(envelope).and_then(|_| decisions.next()) {
                    Some(Decision::Decided(_) | Decision::Noted) => Outcome::Applied,
                    Some(Decision::Repeat) => Outcome::Duplicate,
                    Some(Decision::Nothing) | None => Outcome::Refused,
                },
            )
            .collect())
    }
}

/// What a record says to this role; nothing, if `None`. Pure.
pub fn record(envelope: &Envelope) -> Option<OrderRecord> {
    let Payload::Order(order) = &envelope.event.payload else {
        return None;
    };
    Some(OrderRecord {
        event_id: envelope.event.id,
        trace: envelope.event.trace.clone(),
        facts: facts(order),
    })
}

fn facts(order: &Order) -> OrderFacts {
    OrderFacts {
        order_id: order.id,
        order_version: order.version,
        status: order.status,
        lines: order
            .items
            .iter()
            .map(|item| Units {
                product_id: item.product_id,
                quantity: item.quantity,
            })
            .collect(),
    }
}

/// Runs the program until it is told to stop.
///
/// # Errors
/// If it can not go on: a static member that another copy has taken, a broken setting.
pub async fn run(runtime: Runtime) -> anyhow::Result<()> {
    let settings = &runtime.settings;
    let db = Db::new(&settings.mysql, settings.kafka.encoding)?;
    db.probe_for(&runtime.health);
    let role = Arc::new(StockReservation::new(db.clone()));
    bus::consume(
        role,
        &db,
        settings,
        runtime.shutdown.clone(),
        Some(&runtime.health),
    )
    .await
}

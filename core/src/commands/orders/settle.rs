//! What order-saga does: carrying out decisions about stock, and calling off what was not paid in time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::announce;
use crate::commands::{Call, CommandError};
use crate::db::orders::Changed;
use crate::db::{Conn, Db, inbox, orders, outbox};
use crate::domain::order::{Actor, Shortage};
use crate::domain::{EventId, Order, OrderId, OrderStatus, Timestamp};
use crate::events::{Event, TraceParent};

/// A decision about an order's stock that its saga acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StockVerdict {
    /// All of it is held.
    Reserved,
    /// Something was short.
    Rejected(Vec<Shortage>),
}

/// One record for [`settle_verdicts`].
#[derive(Debug, Clone)]
pub struct VerdictRecord {
    /// The event that says so.
    pub event_id: EventId,
    /// The trace that the order's change belongs to.
    pub trace: Option<TraceParent>,
    /// About which order.
    pub order_id: OrderId,
    /// What was decided.
    pub verdict: StockVerdict,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The order was confirmed or rejected.
    Changed,
    /// The event was handled before.
    Repeat,
    /// The order is not PENDING (any more), or there is no such order.
    TooLate,
}

/// Confirms or rejects the PENDING orders among a batch of decisions; whatever comes late is ignored.
///
/// Effects: updates `orders`, `order_items`, inserts `order_transitions`, `processed_events`; appends `order.confirmed` or
/// `order.rejected` per order.
pub async fn settle_verdicts(
    db: &Db,
    at: Timestamp,
    consumer: &str,
    records: &[VerdictRecord],
) -> Result<Vec<Settled>, CommandError> {
    db.transaction("settle_orders", async |tx| {
        let event_ids: BTreeSet<EventId> = records.iter().map(|record| record.event_id).collect();
        let event_ids: Vec<EventId> = event_ids.into_iter().collect();
        let seen = inbox::seen(tx, consumer, &event_ids).await?;
        let mut batch = Batch::lock(tx, at, records, &seen).await?;
        let settled: Vec<Settled> = records
            .iter()
            .map(|record| {
                if seen.contains(&record.event_id) {
                    Settled::Repeat
                } else {
                    batch.settle(record)
                }
            })
            .collect();
        batch.save(tx, db).await?;
        let handled: Vec<EventId> = event_ids
            .into_iter()
            .filter(|id| !seen.contains(id))
            .collect();
        inbox::record(tx, consumer, at, &handled).await?;
        Ok(settled)
    })
    .await
}

/// Calls off orders that were CONFIRMED for longer than the payment time, by MySQL's clock; at most `limit` at once.
/// Returns which.
///
/// Effects: updates `orders`, inserts `order_transitions`; appends `order.canceled` per order.
pub async fn cancel_unpaid(
    db: &Db,
    at: Timestamp,
    payment_timeout: Duration,
    limit: usize,
) -> Result<Vec<OrderId>, CommandError> {
    db.transaction("cancel_unpaid", async |tx| {
        let due = orders::unpaid_for(tx, payment_timeout, limit).await?;
        if due.is_empty() {
            return Ok(due);
        }
        let mut batch = Batch::new(at, orders::lock_many(tx, &due).await?);
        let mut canceled = Vec::new();
        for id in due {
            // Paid or canceled between the look and the lock: no longer our business.
            let Some(order) = batch.orders.get_mut(&id) else {
                continue;
            };
            if order.status != OrderStatus::Confirmed {
                continue;
            }
            let reason = Some("payment time ran out".to_owned());
            if order.cancel(at, Actor::System, reason).is_ok() {
                batch.announce(id, None);
                canceled.push(id);
            }
        }
        batch.save(tx, db).await?;
        Ok(canceled)
    })
    .await
}

/// Locked orders, and what has changed about them.
struct Batch {
    at: Timestamp,
    orders: BTreeMap<OrderId, Order>,
    locked_versions: BTreeMap<OrderId, u32>,
    events: Vec<Event>,
}

impl Batch {
    fn new(at: Timestamp, orders: Vec<Order>) -> Self {
        let locked_versions = orders
            .iter()
            .map(|order| (order.id, order.version))
            .collect();
        let orders = orders.into_iter().map(|order| (order.id, order)).collect();
        Self {
            at,
            orders,
            locked_versions,
            events: Vec::new(),
        }
    }

    async fn lock(
        tx: &mut Conn,
        at: Timestamp,
        records: &[VerdictRecord],
        seen: &HashSet<EventId>,
    ) -> Result<Self, CommandError> {
        let ids: BTreeSet<OrderId> = records
            .iter()
            .filter(|record| !seen.contains(&record.event_id))
            .map(|record| record.order_id)
            .collect();
        let ids: Vec<OrderId> = ids.into_iter().collect();
        Ok(Self::new(at, orders::lock_many(tx, &ids).await?))
    }

    fn settle(&mut self, record: &VerdictRecord) -> Settled {
        let Some(order) = self.orders.get_mut(&record.order_id) else {
            return Settled::TooLate;
        };
        let changed = match &record.verdict {
            StockVerdict::Reserved => order.confirm(self.at),
            StockVerdict::Rejected(shortages) => order.reject(self.at, shortages.clone()),
        };
        if changed.is_err() {
            return Settled::TooLate;
        }
        self.announce(record.order_id, record.trace.clone());
        Settled::Changed
    }

    fn announce(&mut self, id: OrderId, trace: Option<TraceParent>) {
        if let Some(order) = self.orders.get(&id) {
            self.events
                .push(announce(&Call::within(self.at, trace), order));
        }
    }

    async fn save(self, tx: &mut Conn, db: &Db) -> Result<(), CommandError> {
        let Self {
            orders,
            locked_versions,
            events,
            ..
        } = self;
        let changes: Vec<Changed> = orders
            .into_values()
            .filter_map(|order| {
                let from_version = *locked_versions.get(&order.id)?;
                (order.version > from_version).then_some(Changed {
                    from_version,
                    order,
                })
            })
            .collect();
        orders::save_many(tx, &changes).await?;
        outbox::append(tx, db.encoding(), &events).await?;
        Ok(())
    }
}

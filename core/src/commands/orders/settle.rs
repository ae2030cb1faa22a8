//! What order-saga does: carrying out decisions about stock, and calling off what was not paid in time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
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
    if records.is_empty() {
        return Ok(Vec::new());
    }
    db.transaction("settle_orders", async |tx| {
        let event_ids: BTreeSet<EventId> = records.iter().map(|record| record.event_id).collect();
        let event_ids: Vec<EventId> = event_ids.into_iter().collect();
        let seen = inbox::seen(tx, consumer, &event_ids).await?;
        let orders = orders::lock_many(tx, &orders_of(records, &seen)).await?;
        let decided = Decided::verdicts(at, records, &seen, orders);
        decided.save(tx, db).await?;
        let handled: Vec<EventId> = event_ids
            .into_iter()
            .filter(|id| !seen.contains(id))
            .collect();
        inbox::record(tx, consumer, at, &handled).await?;
        Ok(decided.settled)
    })
    .await
}

/// The orders that a batch needs: those of its new records. Pure.
pub fn orders_of<S: BuildHasher>(
    records: &[VerdictRecord],
    seen: &HashSet<EventId, S>,
) -> Vec<OrderId> {
    let ids: BTreeSet<OrderId> = records
        .iter()
        .filter(|record| !seen.contains(&record.event_id))
        .map(|record| record.order_id)
        .collect();
    ids.into_iter().collect()
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
        let orders = orders::lock_many(tx, &due).await?;
        let (canceled, decided) = Decided::expiries(at, due, orders);
        decided.save(tx, db).await?;
        Ok(canceled)
    })
    .await
}

/// What a batch comes to.
#[derive(Debug)]
pub struct Decided {
    /// What became of each record.
    pub settled: Vec<Settled>,
    /// The orders that changed.
    pub changes: Vec<Changed>,
    /// What is announced, in this order.
    pub events: Vec<Event>,
}

impl Decided {
    /// Carries out decisions about stock, over orders that are locked. Pure, but for the ids of what is announced.
    pub fn verdicts(
        at: Timestamp,
        records: &[VerdictRecord],
        seen: &HashSet<EventId>,
        orders: Vec<Order>,
    ) -> Self {
        let mut batch = Batch::new(at, orders);
        let settled = records
            .iter()
            .map(|record| {
                if seen.contains(&record.event_id) {
                    Settled::Repeat
                } else {
                    batch.settle(record)
                }
            })
            .collect();
        batch.into_decided(settled)
    }

    /// Calls off those of the orders due that still wait for their payment. Returns which. Pure, but for the ids of what is
    /// announced.
    pub fn expiries(at: Timestamp, due: Vec<OrderId>, orders: Vec<Order>) -> (Vec<OrderId>, Self) {
        let mut batch = Batch::new(at, orders);
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
        (canceled, batch.into_decided(Vec::new()))
    }

    async fn save(&self, tx: &mut Conn, db: &Db) -> Result<(), CommandError> {
        orders::save_many(tx, &self.changes).await?;
        outbox::append(tx, db.encoding(), &self.events).await?;
        Ok(())
    }
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

    fn into_decided(self, settled: Vec<Settled>) -> Decided {
        let Self {
            orders,
            locked_versions,
            events,
            ..
        } = self;
        let changes = orders
            .into_values()
            .filter_map(|order| {
                let from_version = *locked_versions.get(&order.id)?;
                (order.version > from_version).then_some(Changed {
                    from_version,
                    order,
                })
            })
            .collect();
        Decided {
            settled,
            changes,
            events,
        }
    }
}

//! Tables `stock`, `stock_orders`, `stock_order_lines` and the ledger: counting units, and holding, giving back and
//! shipping them for orders.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;

use super::once::{self, Request};
use super::{Call, CommandError};
use crate::db::{Db, inbox, outbox, stock};
use crate::domain::refusal::{Entity, path};
use crate::domain::stock::{
    Decision, Hold, HoldState, Movement, MovementKind, OrderFacts, StockLevel, Warehouse,
};
use crate::domain::{EventId, OrderId, ProductId, Refusal, Timestamp};
use crate::events::{Event, EventType, Payload, StockDecision, TraceParent};
use crate::runtime::guard::{self, Guard};

/// Why units are counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdjustmentReason {
    /// They came in; only ever more.
    Received,
    /// They were counted, lost or found.
    Correction,
}

impl AdjustmentReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Correction => "CORRECTION",
        }
    }
}

/// A change of the units on hand.
#[derive(Debug, Clone)]
pub struct AdjustStock {
    /// Of which product.
    pub product_id: ProductId,
    /// How many more; fewer, if negative.
    pub delta: i64,
    /// Why.
    pub reason: AdjustmentReason,
}

/// Adds units to a product's stock or takes them away, never below what is held for orders.
///
/// Effects: updates `stock`, appends to the ledger; appends `stock.level_changed`.
/// Refusals: `NotFound`, `Invalid`, `StockReserved`; `VersionMismatch`, of the stock; those of the key.
pub async fn adjust_stock(
    db: &Db,
    call: &Call,
    cmd: AdjustStock,
) -> Result<StockLevel, CommandError> {
    if cmd.reason == AdjustmentReason::Received && cmd.delta <= 0 {
        let problem = "must be positive for units that came in; use CORRECTION to take units away";
        return Err(Refusal::invalid(path([&"delta"]), problem).into());
    }
    let request = Request::new("adjustStock")
        .with("productId", cmd.product_id)
        .with("delta", cmd.delta)
        .with("reason", cmd.reason.as_str());
    db.transaction("adjust_stock", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let levels = stock::lock_levels(tx, &[cmd.product_id]).await?;
        let mut level = levels
            .into_iter()
            .find(|level| level.sellable)
            .ok_or_else(|| {
                let entity = Entity::Product(cmd.product_id);
                Refusal::NotFound {
                    path: path([&"productId"]),
                    entity,
                }
            })?;
        call.check_version(level.version)?;
        level.adjust(cmd.delta)?;
        let kind = match cmd.reason {
            AdjustmentReason::Received => MovementKind::Received,
            AdjustmentReason::Correction => MovementKind::Adjusted,
        };
        stock::save_levels(tx, [&level]).await?;
        stock::append_movements(tx, call.at, &[movement(cmd.product_id, kind, cmd.delta)]).await?;
        outbox::append(tx, db.encoding(), &[level_changed(call, &level)]).await?;
        once::keep(tx, call, level).await
    })
    .await
}

/// One record for [`settle_orders`]: what an order now is.
#[derive(Debug, Clone)]
pub struct OrderRecord {
    /// The event that says so.
    pub event_id: EventId,
    /// The trace that a decision about it belongs to.
    pub trace: Option<TraceParent>,
    /// What it is.
    pub facts: OrderFacts,
}

/// Holds, rejects, gives back or ships the stock of a batch of orders, in log order, with one lock and one save.
///
/// In: the consumer's name for the inbox; the records of the batch. Out: what became of each record.
///
/// Effects: `stock`, `stock_orders`, `stock_order_lines`, the ledger, `processed_events`; appends one `stock.reserved`,
/// `.rejected`, `.released` or `.shipped` per decision and one `stock.level_changed` per product that moved.
pub async fn settle_orders(
    db: &Db,
    at: Timestamp,
    consumer: &str,
    records: &[OrderRecord],
) -> Result<Vec<Decision>, CommandError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    db.transaction("settle_stock", async |tx| {
        let event_ids: Vec<EventId> = records.iter().map(|record| record.event_id).collect();
        let seen = inbox::seen(tx, consumer, &event_ids).await?;
        let fresh = |record: &&OrderRecord| !seen.contains(&record.event_id);
        let orders: BTreeSet<OrderId> = records
            .iter()
            .filter(fresh)
            .map(|record| record.facts.order_id)
            .collect();
        let orders: Vec<OrderId> = orders.into_iter().collect();
        let holds = if guard::is_on(Guard::StockRowPerOrder) {
            stock::lock_holds(tx, &orders).await?
        } else {
            Vec::new()
        };
        let products: Vec<ProductId> = products_of(records, &seen, &holds).into_iter().collect();
        let levels = stock::lock_levels(tx, &products).await?;
        let settlement = Settlement::decide(at, records, &seen, levels, holds);

        let warehouse = &settlement.warehouse;
        stock::save_levels(tx, warehouse.changed_levels()).await?;
        let is_new = |order| warehouse.is_new(order);
        stock::save_holds(tx, warehouse.changed_holds(), is_new).await?;
        stock::append_movements(tx, at, warehouse.movements()).await?;
        outbox::append(tx, db.encoding(), &settlement.events).await?;
        inbox::record(tx, consumer, at, &settlement.handled).await?;
        Ok(settlement.decisions)
    })
    .await
}

/// The products whose levels a batch needs: what its new records ask for, and what is held for their orders. Pure.
pub fn products_of<S: BuildHasher>(
    records: &[OrderRecord],
    seen: &HashSet<EventId, S>,
    holds: &[Hold],
) -> BTreeSet<ProductId> {
    let wanted = records
        .iter()
        .filter(|record| !seen.contains(&record.event_id))
        .flat_map(|record| &record.facts.lines);
    let held = holds.iter().flat_map(|hold| &hold.lines);
    wanted.chain(held).map(|units| units.product_id).collect()
}

/// What a batch comes to.
#[derive(Debug)]
pub struct Settlement {
    /// What became of each record.
    pub decisions: Vec<Decision>,
    /// The rows afterwards, and the ledger lines.
    pub warehouse: Warehouse,
    /// What is announced, in this order.
    pub events: Vec<Event>,
    /// The events to be remembered, rising, none twice.
    pub handled: Vec<EventId>,
}

impl Settlement {
    /// Decides a batch in log order, over rows that are locked. Pure, but for the ids of what is announced.
    pub fn decide(
        at: Timestamp,
        records: &[OrderRecord],
        seen: &HashSet<EventId>,
        levels: Vec<StockLevel>,
        holds: Vec<Hold>,
    ) -> Self {
        let mut batch = Batch::new(at, Warehouse::new(levels, holds));
        let decisions = records
            .iter()
            .map(|record| {
                if seen.contains(&record.event_id) {
                    Decision::Repeat
                } else {
                    batch.decide(record)
                }
            })
            .collect();
        let mut handled: Vec<EventId> = records
            .iter()
            .map(|record| record.event_id)
            .filter(|id| !seen.contains(id))
            .collect();
        handled.sort_unstable();
        handled.dedup();
        let (warehouse, events) = batch.into_parts();
        Self {
            decisions,
            warehouse,
            events,
            handled,
        }
    }
}

/// The decisions of a batch and what they announce.
struct Batch {
    at: Timestamp,
    warehouse: Warehouse,
    announced: Vec<Event>,
    /// The trace of the last record that moved a product.
    traces: HashMap<ProductId, Option<TraceParent>>,
}

impl Batch {
    fn new(at: Timestamp, warehouse: Warehouse) -> Self {
        Self {
            at,
            warehouse,
            announced: Vec::new(),
            traces: HashMap::new(),
        }
    }

    fn decide(&mut self, record: &OrderRecord) -> Decision {
        let decision = self.warehouse.decide(&record.facts);
        if let Decision::Decided(state) = decision
            && let Some(hold) = self.warehouse.hold(record.facts.order_id)
        {
            let call = Call::within(self.at, record.trace.clone());
            let announced = announcement(hold);
            for units in &hold.lines {
                self.traces.insert(units.product_id, record.trace.clone());
            }
            self.announced
                .push(call.event(event_type(state), Payload::Stock(announced)));
        }
        decision
    }

    fn into_parts(mut self) -> (Warehouse, Vec<Event>) {
        for level in self.warehouse.changed_levels() {
            let trace = self.traces.remove(&level.product_id).flatten();
            self.announced
                .push(level_changed(&Call::within(self.at, trace), level));
        }
        (self.warehouse, self.announced)
    }
}

/// What is announced of what was done for an order.
pub(super) fn announcement(hold: &Hold) -> StockDecision {
    StockDecision {
        order_id: hold.order_id,
        version: hold.version,
        order_version: hold.order_version,
        state: Some(hold.state),
        lines: hold.lines.clone(),
        shortages: hold.shortages.clone(),
    }
}

pub(super) fn event_type(state: HoldState) -> EventType {
    match state {
        HoldState::Held => EventType::StockReserved,
        HoldState::Rejected => EventType::StockRejected,
        HoldState::Released => EventType::StockReleased,
        HoldState::Shipped => EventType::StockShipped,
    }
}

pub(super) fn level_changed(call: &Call, level: &StockLevel) -> Event {
    call.event(EventType::StockLevelChanged, Payload::StockLevel(*level))
}

pub(super) fn movement(product_id: ProductId, kind: MovementKind, quantity: i64) -> Movement {
    Movement {
        product_id,
        kind,
        quantity,
        order_id: None,
    }
}

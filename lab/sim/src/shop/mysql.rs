//! The write side: rows with locks, transactions that commit or do not, and numbers that are given out before the commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use shop_core::db::orders::Changed;
use shop_core::domain::stock::{Hold, Movement};
use shop_core::domain::{EventId, Order, OrderId, OrderStatus, ProductId, StockLevel};
use shop_core::events::Event;
use uuid::Uuid;

use crate::plant::Plant;

/// A row that can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Of `orders`.
    Order(OrderId),
    /// Of `stock_orders`.
    Hold(OrderId),
    /// Of `stock`.
    Level(ProductId),
}

/// What a transaction changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// New orders.
    pub placed: Vec<Order>,
    /// Orders that were locked.
    pub orders: Vec<Changed>,
    /// Levels, as they are to be.
    pub levels: Vec<StockLevel>,
    /// Stock sides of orders, as they are to be, and whether there was one.
    pub holds: Vec<(Hold, bool)>,
    /// Ledger lines.
    pub movements: Vec<Movement>,
    /// Handled events.
    pub handled: Option<(&'static str, Vec<EventId>)>,
    /// What is announced.
    pub events: Vec<Event>,
}

/// A transaction that is open.
#[derive(Debug)]
pub struct Transaction {
    id: u64,
    changes: Changes,
    seqs: Vec<u64>,
    /// When it began.
    pub since: i64,
}

/// A row of the outbox.
#[derive(Debug)]
pub struct OutboxRow {
    /// The event.
    pub event: Arc<Event>,
    /// When it was marked as sent.
    pub sent_at: Option<i64>,
}

/// Another row has this key; nothing was changed.
#[derive(Debug)]
pub struct Duplicate;

/// The tables.
#[derive(Debug)]
pub struct Mysql {
    /// Orders, with all that belongs to them.
    pub orders: BTreeMap<OrderId, Order>,
    /// Since when CONFIRMED orders wait.
    pub awaiting_payment: BTreeMap<OrderId, i64>,
    /// Stock.
    pub levels: BTreeMap<ProductId, StockLevel>,
    /// Stock sides of orders.
    pub holds: BTreeMap<OrderId, Hold>,
    /// The ledger.
    pub movements: Vec<Movement>,
    /// Handled events.
    pub inbox: BTreeMap<(&'static str, EventId), i64>,
    /// The outbox.
    pub outbox: BTreeMap<u64, OutboxRow>,
    /// All that was ever announced, for the checks: the newest version by aggregate.
    pub announced: BTreeMap<(&'static str, Uuid), u32>,
    next_seq: u64,
    next_transaction: u64,
    locks: BTreeMap<Row, u64>,
    unique_versions: bool,
}

impl Mysql {
    /// Empty tables.
    pub fn new(plant: Option<Plant>) -> Self {
        Self {
            orders: BTreeMap::new(),
            awaiting_payment: BTreeMap::new(),
            levels: BTreeMap::new(),
            holds: BTreeMap::new(),
            movements: Vec::new(),
            inbox: BTreeMap::new(),
            outbox: BTreeMap::new(),
            announced: BTreeMap::new(),
            next_seq: 1,
            next_transaction: 1,
            locks: BTreeMap::new(),
            unique_versions: !matches!(plant, Some(Plant::StockLock | Plant::StockRow)),
        }
    }

    /// Whether somebody has one of the rows.
    pub fn are_locked(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.locks.contains_key(row))
    }

    /// Begins a transaction that locks rows which are free and appends its events: their numbers are given out now.
    pub fn begin(&mut self, rows: &[Row], changes: Changes, now: i64) -> Transaction {
        let id = self.next_transaction;
        self.next_transaction += 1;
        for row in rows {
            self.locks.insert(*row, id);
        }
        let seqs = changes.events.iter().map(|_| {
            let seq = self.next_seq;
            self.next_seq += 1;
            seq
        });
        Transaction {
            id,
            seqs: seqs.collect(),
            changes,
            since: now,
        }
    }

    /// Ends a transaction without a trace, but for its numbers.
    #[expect(clippy::needless_pass_by_value, reason = "it is over")]
    pub fn roll_back(&mut self, transaction: Transaction) {
        self.locks.retain(|_, holder| *holder != transaction.id);
    }

    /// Commits; a unique key that is taken rolls everything back.
    ///
    /// # Errors
    /// [`Duplicate`].
    pub fn commit(&mut self, transaction: Transaction, now: i64) -> Result<(), Duplicate> {
        if self.meets_a_duplicate(&transaction.changes) {
            self.roll_back(transaction);
            return Err(Duplicate);
        }
        let Transaction {
            id, changes, seqs, ..
        } = transaction;
        self.locks.retain(|_, holder| *holder != id);
        for order in changes.placed {
            self.orders.insert(order.id, order);
        }
        for Changed { order, .. } in changes.orders {
            if order.status == OrderStatus::Confirmed {
                self.awaiting_payment.entry(order.id).or_insert(now);
            } else {
                self.awaiting_payment.remove(&order.id);
            }
            self.orders.insert(order.id, order);
        }
        for level in changes.levels {
            self.levels.insert(level.product_id, level);
        }
        for (hold, _) in changes.holds {
            self.holds.insert(hold.order_id, hold);
        }
        self.movements.extend(changes.movements);
        if let Some((consumer, events)) = changes.handled {
            self.inbox
                .extend(events.into_iter().map(|event| ((consumer, event), now)));
        }
        for (seq, event) in seqs.into_iter().zip(changes.events) {
            let key = (event.aggregate_type().as_str(), event.aggregate_id());
            let newest = self.announced.entry(key).or_default();
            *newest = (*newest).max(event.version());
            let event = Arc::new(event);
            self.outbox.insert(
                seq,
                OutboxRow {
                    event,
                    sent_at: None,
                },
            );
        }
        Ok(())
    }

    fn meets_a_duplicate(&self, changes: &Changes) -> bool {
        let transition = |change: &Changed| {
            let stored = self.orders.get(&change.order.id);
            stored.is_some_and(|stored| stored.version != change.from_version)
        };
        let hold = |(hold, existed): &(Hold, bool)| {
            self.unique_versions && !existed && self.holds.contains_key(&hold.order_id)
        };
        let handled = changes.handled.iter().any(|(consumer, events)| {
            events
                .iter()
                .any(|event| self.inbox.contains_key(&(*consumer, *event)))
        });
        let versions: BTreeSet<_> = if self.unique_versions {
            changes.events.iter().map(version_key).collect()
        } else {
            BTreeSet::new()
        };
        let announced = || {
            !versions.is_empty()
                && self
                    .outbox
                    .values()
                    .any(|row| versions.contains(&version_key(&row.event)))
        };
        changes.orders.iter().any(transition)
            || changes.holds.iter().any(hold)
            || handled
            || announced()
    }

    /// Those of the events that the consumer has handled.
    pub fn seen(
        &self,
        consumer: &'static str,
        events: impl Iterator<Item = EventId>,
    ) -> HashSet<EventId> {
        events
            .filter(|event| self.inbox.contains_key(&(consumer, *event)))
            .collect()
    }

    /// Deletes what was sent or handled before a time.
    pub fn prune(&mut self, before: i64) {
        self.outbox
            .retain(|_, row| row.sent_at.is_none_or(|at| at >= before));
        self.inbox.retain(|_, at| *at >= before);
    }
}

fn version_key(event: &Event) -> (&'static str, Uuid, u32) {
    (
        event.aggregate_type().as_str(),
        event.aggregate_id(),
        event.version(),
    )
}

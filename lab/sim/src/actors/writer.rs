//! Stock reservation and order saga: consumers whose effect is a transaction.

use std::collections::BTreeSet;

use shop_consumers::{order_saga, stock_reservation};
use shop_core::commands::orders::{Decided, VerdictRecord, orders_of};
use shop_core::commands::stock::{OrderRecord, Settlement, products_of};
use shop_core::domain::{EventId, Order, OrderId};
use shop_core::events::{Envelope, Topic};

use super::commit;
use crate::check;
use crate::plant::Plant;
use crate::shop::Shop;
use crate::shop::mysql::{Changes, Row, Transaction};

/// How long a CONFIRMED order waits for its payment, in milliseconds.
const PAYMENT_TIME: i64 = 20_000;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `stock-reservation`.
    Stock,
    /// `order-saga`.
    Saga,
}

impl Role {
    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stock => stock_reservation::NAME,
            Self::Saga => order_saga::NAME,
        }
    }

    /// What it reads.
    pub const fn topics(self) -> &'static [Topic] {
        match self {
            Self::Stock => &[Topic::Orders],
            Self::Saga => &[Topic::Stock],
        }
    }
}

/// One copy of a program.
#[derive(Debug)]
pub struct Writer {
    role: Role,
    member: usize,
    batch: usize,
    phase: Phase,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per simulated program"
)]
enum Phase {
    Idle,
    Polled(Vec<Envelope>),
    Open(Vec<Envelope>, Transaction),
    Committed(Vec<Envelope>),
}

impl Writer {
    /// A copy that has begun.
    pub fn new(role: Role, member: usize, batch: usize) -> Self {
        Self {
            role,
            member,
            batch,
            phase: Phase::Idle,
        }
    }

    fn who(&self) -> String {
        format!("{} {}", self.role.name(), self.member)
    }

    /// When the open transaction began.
    pub fn open_since(&self) -> Option<i64> {
        match &self.phase {
            Phase::Open(_, open) => Some(open.since),
            _ => None,
        }
    }

    /// It dies and starts again.
    pub fn crash(&mut self, shop: &mut Shop) -> bool {
        shop.note(|| format!("{} crashes: {}", self.who(), self.phase.word()));
        if let Phase::Open(_, open) = std::mem::replace(&mut self.phase, Phase::Idle) {
            shop.mysql.roll_back(open);
        }
        shop.kafka.restart(self.role.name(), self.member);
        true
    }

    /// The next step of the loop.
    pub fn step(&mut self, shop: &mut Shop) -> bool {
        let name = self.role.name();
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {
                let mut mine = shop.kafka.owned(name, self.member);
                shop.rng.shuffle(&mut mine);
                let most = shop.rng.usize(1..=self.batch);
                let batch = shop.kafka.poll(name, &mine, most);
                if batch.is_empty() {
                    return self.role == Role::Saga && self.expire(shop);
                }
                shop.note(|| format!("{} polls {}", self.who(), batch.len()));
                self.phase = Phase::Polled(batch);
            }
            Phase::Polled(batch) => {
                let Some((rows, changes)) = self.decide(shop, &batch) else {
                    self.phase = Phase::Polled(batch); // somebody has a row
                    return false;
                };
                if shop.planted(Plant::OffsetFirst) {
                    shop.kafka.store(name, self.member, &batch);
                }
                let clock = shop.clock;
                let open = shop.mysql.begin(&rows, changes, clock);
                self.phase = Phase::Open(batch, open);
            }
            Phase::Open(batch, open) => {
                if commit(shop, &self.who(), open) {
                    self.phase = Phase::Committed(batch);
                } else {
                    shop.kafka.seek_back(name, self.member, &batch);
                }
            }
            Phase::Committed(batch) => {
                shop.note(|| format!("{} stores its offsets", self.who()));
                shop.kafka.store(name, self.member, &batch);
            }
        }
        true
    }

    /// The rows to lock and what the batch comes to; `None` while a row is another's.
    fn decide(&self, shop: &mut Shop, batch: &[Envelope]) -> Option<(Vec<Row>, Changes)> {
        match self.role {
            Role::Stock => decide_stock(shop, batch),
            Role::Saga => decide_orders(shop, batch),
        }
    }

    /// Calls off what was not paid in time.
    fn expire(&mut self, shop: &mut Shop) -> bool {
        let latest = shop.clock - PAYMENT_TIME;
        let waiting = shop.mysql.awaiting_payment.iter();
        let due: Vec<OrderId> = waiting
            .filter(|(_, since)| **since <= latest)
            .map(|(id, _)| *id)
            .collect();
        let rows: Vec<Row> = due.iter().map(|id| Row::Order(*id)).collect();
        if due.is_empty() || shop.mysql.are_locked(&rows) {
            return false;
        }
        let orders = read_orders(shop, &due);
        let (canceled, decided) = Decided::expiries(shop.now(), due, orders);
        shop.note(|| format!("{} calls off {canceled:?}", self.who()));
        let changes = Changes {
            orders: decided.changes,
            events: decided.events,
            ..Changes::default()
        };
        let clock = shop.clock;
        let open = shop.mysql.begin(&rows, changes, clock);
        self.phase = Phase::Open(Vec::new(), open);
        true
    }
}

impl Phase {
    const fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Polled(_) => "batch in hand",
            Self::Open(..) => "before the commit",
            Self::Committed(_) => "between commit and offsets",
        }
    }
}

fn read_orders(shop: &Shop, ids: &[OrderId]) -> Vec<Order> {
    ids.iter()
        .filter_map(|id| shop.mysql.orders.get(id).cloned())
        .collect()
}

fn decide_orders(shop: &mut Shop, batch: &[Envelope]) -> Option<(Vec<Row>, Changes)> {
    let records: Vec<VerdictRecord> = batch.iter().filter_map(order_saga::record).collect();
    let ids: BTreeSet<EventId> = records.iter().map(|record| record.event_id).collect();
    let seen = shop.mysql.seen(order_saga::NAME, ids.iter().copied());
    let wanted = orders_of(&records, &seen);
    let rows: Vec<Row> = wanted.iter().map(|id| Row::Order(*id)).collect();
    if shop.mysql.are_locked(&rows) {
        return None;
    }
    let orders = read_orders(shop, &wanted);
    let decided = Decided::verdicts(shop.now(), &records, &seen, orders);
    let handled = ids.into_iter().filter(|id| !seen.contains(id)).collect();
    let changes = Changes {
        orders: decided.changes,
        events: decided.events,
        handled: Some((order_saga::NAME, handled)),
        ..Changes::default()
    };
    Some((rows, changes))
}

fn decide_stock(shop: &mut Shop, batch: &[Envelope]) -> Option<(Vec<Row>, Changes)> {
    let records: Vec<OrderRecord> = batch.iter().filter_map(stock_reservation::record).collect();
    let events = records.iter().map(|record| record.event_id);
    let seen = shop.mysql.seen(stock_reservation::NAME, events);
    let fresh = records
        .iter()
        .filter(|record| !seen.contains(&record.event_id));
    let orders: BTreeSet<OrderId> = fresh.map(|record| record.facts.order_id).collect();
    let holds: Vec<_> = if shop.planted(Plant::StockRow) {
        Vec::new()
    } else {
        orders
            .iter()
            .filter_map(|id| shop.mysql.holds.get(id).cloned())
            .collect()
    };
    let existing: BTreeSet<OrderId> = holds.iter().map(|hold| hold.order_id).collect();
    let products = products_of(&records, &seen, &holds);
    let mut rows: Vec<Row> = existing.iter().map(|id| Row::Hold(*id)).collect();
    if !shop.planted(Plant::StockLock) {
        rows.extend(products.iter().map(|id| Row::Level(*id)));
    }
    if shop.mysql.are_locked(&rows) {
        return None;
    }
    let levels: Vec<_> = products
        .iter()
        .filter_map(|id| shop.mysql.levels.get(id).copied())
        .collect();
    let settled = Settlement::decide(shop.now(), &records, &seen, levels.clone(), holds);
    if let [record] = &records[..] {
        check::refusal(shop, record, &settled, &levels);
    }
    let changes = Changes {
        levels: settled.warehouse.changed_levels().copied().collect(),
        holds: settled
            .warehouse
            .changed_holds()
            .map(|hold| (hold.clone(), existing.contains(&hold.order_id)))
            .collect(),
        movements: settled.warehouse.movements().to_vec(),
        handled: Some((stock_reservation::NAME, settled.handled)),
        events: settled.events,
        ..Changes::default()
    };
    Some((rows, changes))
}

//! The promises: some looked at with every commit, the others once all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use shop_core::commands::stock::{OrderRecord, Settlement};
use shop_core::domain::status::TRANSITIONS;
use shop_core::domain::stock::{Decision, HoldState, MovementKind};
use shop_core::domain::{Order, OrderStatus, ProductId, StockLevel};

use crate::shop::Shop;

/// What must hold at every commit.
pub fn at_commit(shop: &mut Shop) {
    let mut broken = Vec::new();
    let mut held: BTreeMap<ProductId, u32> = BTreeMap::new();
    for hold in shop.mysql.holds.values() {
        if hold.state == HoldState::Held {
            for units in &hold.lines {
                *held.entry(units.product_id).or_default() += units.quantity;
            }
        }
    }
    let mut on_hand: BTreeMap<ProductId, i64> = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for movement in &shop.mysql.movements {
        let sign = match movement.kind {
            MovementKind::Received | MovementKind::Adjusted => 1,
            MovementKind::Shipped => -1,
            MovementKind::Reserved | MovementKind::Released => 0,
        };
        *on_hand.entry(movement.product_id).or_default() += sign * movement.quantity;
        if let Some(order) = movement.order_id {
            let ends = movement.kind != MovementKind::Reserved;
            if !moved.insert((order, movement.product_id, ends)) {
                broken.push((
                    "a hold begins and ends once",
                    format!(
                        "{order} moved {} twice: {:?}",
                        movement.product_id, movement.kind
                    ),
                ));
            }
        }
    }
    for level in shop.mysql.levels.values() {
        let id = level.product_id;
        let held = held.get(&id).copied().unwrap_or_default();
        let sum = on_hand.get(&id).copied().unwrap_or_default();
        if level.reserved > level.on_hand
            || level.reserved != held
            || i64::from(level.on_hand) != sum
        {
            broken.push((
                "stock is the sum of its ledger and holds",
                format!("{level:?}, held {held}, ledger {sum}"),
            ));
        }
    }
    for (promise, what) in broken {
        shop.violated(promise, what);
    }
}

/// Nobody is refused who could be served: looked at where a batch is one record.
pub fn refusal(shop: &mut Shop, record: &OrderRecord, settled: &Settlement, levels: &[StockLevel]) {
    if settled.decisions != [Decision::Decided(HoldState::Rejected)] {
        return;
    }
    let is_enough = record.facts.lines.iter().all(|line| {
        levels.iter().any(|level| {
            level.product_id == line.product_id
                && level.sellable
                && level.reserved + line.quantity <= level.on_hand
        })
    });
    if is_enough {
        shop.violated("no needless refusal", record.facts.order_id.to_string());
    }
}

/// What must hold once nothing is on its way any more.
pub fn when_quiet(shop: &mut Shop) {
    let mut broken = Vec::new();
    {
        let views = shop.views.open();
        for order in shop.mysql.orders.values() {
            if views.orders.get(&order.id) != Some(order) {
                let what = format!(
                    "{} is version {}, its view {:?}",
                    order.id,
                    order.version,
                    views.orders.get(&order.id).map(|view| view.version)
                );
                broken.push(("views are what the write side is", what));
            }
            broken.extend(order_and_hold(shop, order));
            broken.extend(timeline(order));
        }
        for level in shop.mysql.levels.values() {
            if views.levels.get(&level.product_id) != Some(level) {
                let view = views.levels.get(&level.product_id);
                broken.push((
                    "views are what the write side is",
                    format!("{level:?}, its view {view:?}"),
                ));
            }
        }
    }
    for ((kind, id), newest) in &shop.mysql.announced {
        for version in 1..=*newest {
            if !shop.kafka.has(kind, *id, version) {
                let what = format!("{kind} {id} version {version} never reached its topic");
                broken.push(("an acknowledged change is in its topic", what));
            }
        }
    }
    if let Some((seq, _)) = shop
        .mysql
        .outbox
        .iter()
        .find(|(_, row)| row.sent_at.is_none())
    {
        broken.push(("every event is sent", format!("number {seq} waits")));
    }
    for (promise, what) in broken {
        shop.violated(promise, what);
    }
}

/// What an order is, and what was done for it.
fn order_and_hold(shop: &Shop, order: &Order) -> Option<(&'static str, String)> {
    let hold = shop.mysql.holds.get(&order.id);
    let state = hold.map(|hold| hold.state);
    let fits = match order.status {
        OrderStatus::Pending => {
            return Some(("every order is decided", format!("{} is PENDING", order.id)));
        }
        OrderStatus::Confirmed | OrderStatus::Paid | OrderStatus::Processing => {
            state == Some(HoldState::Held)
        }
        OrderStatus::Shipped | OrderStatus::Delivered => state == Some(HoldState::Shipped),
        OrderStatus::Rejected => state == Some(HoldState::Rejected),
        OrderStatus::Canceled => {
            matches!(state, Some(HoldState::Released | HoldState::Rejected))
        }
    };
    (!fits).then(|| {
        let what = format!("{} is {}, its stock {state:?}", order.id, order.status);
        ("an order's stock follows its status", what)
    })
}

fn timeline(order: &Order) -> Option<(&'static str, String)> {
    let standing = order
        .payments
        .iter()
        .filter(|payment| payment.refund_due_version.is_none())
        .count();
    let steps_are_legal = order.timeline.iter().zip(1..).all(|(entry, version)| {
        let listed = |from| {
            TRANSITIONS
                .iter()
                .any(|step| step.from == from && step.to == entry.to)
        };
        entry.version == version
            && entry
                .from
                .is_none_or(|from| from == entry.to || listed(from))
    });
    let times_rise = order.timeline.is_sorted_by_key(|entry| entry.at);
    (standing > 1 || !steps_are_legal || !times_rise).then(|| {
        (
            "an order takes the steps of the table and is paid once",
            format!("{order:?}"),
        )
    })
}

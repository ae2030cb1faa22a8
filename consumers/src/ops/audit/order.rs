//! What must hold of an order with its hold and its movements at every commit, and what must come to hold. Pure.

use std::collections::BTreeSet;

use shop_core::domain::order::{Order, TimelineEntry};
use shop_core::domain::status::TRANSITIONS;
use shop_core::domain::stock::{Hold, HoldState, Movement, MovementKind, Units};
use shop_core::domain::{OrderId, OrderStatus, ProductId};

/// What is wrong with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which invariant it breaks.
    pub invariant: u8,
    /// How.
    pub problem: String,
    /// Whether a program may be about to put it right.
    pub may_pass: bool,
}

fn wrong(invariant: u8, problem: impl Into<String>) -> Finding {
    Finding {
        invariant,
        problem: problem.into(),
        may_pass: false,
    }
}

fn on_its_way(invariant: u8, problem: impl Into<String>) -> Finding {
    Finding {
        may_pass: true,
        ..wrong(invariant, problem)
    }
}

/// An order and what the stock side knows of it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The order, if there is one.
    pub order: Option<&'a Order>,
    /// What was done for it.
    pub hold: Option<&'a Hold>,
    /// The ledger's lines about it.
    pub movements: &'a [Movement],
}

/// Everything that is wrong.
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(order) = facts.order else {
        if facts.hold.is_some() || !facts.movements.is_empty() {
            findings.push(wrong(
                4,
                "stock was decided for it, but there is no such order",
            ));
        }
        return findings;
    };
    timeline(order, &mut findings);
    payments(order, &mut findings);
    match facts.hold {
        None => without_hold(order, facts.movements, &mut findings),
        Some(hold) => {
            status_fits(order, hold, &mut findings);
            lines(order, hold, &mut findings);
            moved(hold, facts.movements, &mut findings);
        }
    }
    findings
}

fn timeline(order: &Order, findings: &mut Vec<Finding>) {
    let entries = &order.timeline;
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let gapless = entries
        .iter()
        .zip(1..)
        .all(|(entry, version)| entry.version == version);
    if !gapless || count != order.version {
        findings.push(wrong(
            1,
            format!(
                "is at version {}, its timeline has {count} entries{}",
                order.version,
                if gapless { "" } else { " with gaps" }
            ),
        ));
    }
    if let Some(last) = entries.last()
        && last.to != order.status
    {
        findings.push(wrong(
            1,
            format!("is {}, its timeline ends with {}", order.status, last.to),
        ));
    }
    let mut before: Option<&TimelineEntry> = None;
    for entry in entries {
        let from = before.map(|before| before.to);
        let permitted = match entry.from {
            None => entry.to == OrderStatus::Pending,
            Some(from) => {
                from == entry.to
                    || TRANSITIONS
                        .iter()
                        .any(|step| step.from == from && step.to == entry.to)
            }
        };
        if entry.from != from || !permitted {
            let word = |status: Option<OrderStatus>| status.map_or("nothing", OrderStatus::as_str);
            findings.push(wrong(
                5,
                format!(
                    "version {} goes from {} to {} after {}",
                    entry.version,
                    word(entry.from),
                    entry.to,
                    word(from)
                ),
            ));
        }
        if before.is_some_and(|before| before.at > entry.at) {
            findings.push(wrong(
                1,
                format!("version {} is earlier than the one before", entry.version),
            ));
        }
        before = Some(entry);
    }
}

fn payments(order: &Order, findings: &mut Vec<Finding>) {
    let recorded = order
        .payments
        .iter()
        .filter(|payment| payment.refund_due_version.is_none())
        .count();
    let wanted = match order.status {
        OrderStatus::Paid
        | OrderStatus::Processing
        | OrderStatus::Shipped
        | OrderStatus::Delivered => 1,
        OrderStatus::Pending
        | OrderStatus::Confirmed
        | OrderStatus::Rejected
        | OrderStatus::Canceled => 0,
    };
    if recorded != wanted {
        findings.push(wrong(
            5,
            format!(
                "is {} with {recorded} recorded payments, not {wanted}",
                order.status
            ),
        ));
    }
}

fn without_hold(order: &Order, movements: &[Movement], findings: &mut Vec<Finding>) {
    if !movements.is_empty() {
        findings.push(wrong(4, "units moved, but no hold is noted"));
    }
    findings.extend(match order.status {
        OrderStatus::Pending => Some(on_its_way(12, "is PENDING, its stock was not decided yet")),
        OrderStatus::Canceled => Some(on_its_way(
            12,
            "is CANCELED, which the stock side has not noted",
        )),
        status => Some(wrong(
            4,
            format!("is {status}, but its stock was never decided"),
        )),
    });
}

fn status_fits(order: &Order, hold: &Hold, findings: &mut Vec<Finding>) {
    use OrderStatus::{
        Canceled, Confirmed, Delivered, Paid, Pending, Processing, Rejected, Shipped,
    };
    let state = hold.state.as_str();
    let status = order.status;
    let late = |invariant, problem: String| Some(on_its_way(invariant, problem));
    findings.extend(match (hold.state, status) {
        (HoldState::Held, Confirmed | Paid | Processing)
        | (HoldState::Rejected, Rejected | Canceled)
        | (HoldState::Released, Canceled)
        | (HoldState::Shipped, Shipped | Delivered) => None,
        (HoldState::Held | HoldState::Rejected, Pending) => late(
            12,
            format!("is PENDING, though its stock was decided: {state}"),
        ),
        (HoldState::Held, Canceled) => {
            late(4, "is CANCELED, but its stock is still held".to_owned())
        }
        (HoldState::Held, Shipped | Delivered) => {
            late(4, format!("is {status}, but its stock is still held"))
        }
        _ => Some(wrong(4, format!("is {status}, its stock is {state}"))),
    });
}

fn lines(order: &Order, hold: &Hold, findings: &mut Vec<Finding>) {
    let taken: BTreeSet<Units> = hold.lines.iter().copied().collect();
    if hold.state == HoldState::Rejected || (hold.state == HoldState::Released && hold.version == 0)
    {
        if !taken.is_empty() {
            findings.push(wrong(
                4,
                format!("its stock is {}, with lines", hold.state.as_str()),
            ));
        }
        return;
    }
    let ordered: BTreeSet<Units> = order
        .items
        .iter()
        .map(|item| Units {
            product_id: item.product_id,
            quantity: item.quantity,
        })
        .collect();
    if taken != ordered && !(order.deleted && ordered.is_empty()) {
        findings.push(wrong(
            4,
            format!(
                "asks for {} lines, of which {} are held as they are",
                ordered.len(),
                ordered.intersection(&taken).count()
            ),
        ));
    }
}

fn moved(hold: &Hold, movements: &[Movement], findings: &mut Vec<Finding>) {
    let of_kind = |kind: MovementKind| -> BTreeSet<(ProductId, i64)> {
        movements
            .iter()
            .filter(|movement| movement.kind == kind)
            .map(|movement| (movement.product_id, movement.quantity))
            .collect()
    };
    let lines: BTreeSet<(ProductId, i64)> = hold
        .lines
        .iter()
        .map(|units| (units.product_id, units.quantity.into()))
        .collect();
    let ends = [
        (MovementKind::Reserved, true),
        (MovementKind::Released, hold.state == HoldState::Released),
        (MovementKind::Shipped, hold.state == HoldState::Shipped),
    ];
    for (kind, wanted) in ends {
        let (found, none) = (of_kind(kind), BTreeSet::new());
        let expected = if wanted { &lines } else { &none };
        if found != *expected {
            findings.push(wrong(
                4,
                format!(
                    "its stock is {}, the ledger has {} of its {} lines {}",
                    hold.state.as_str(),
                    found.len(),
                    lines.len(),
                    kind.as_str()
                ),
            ));
        }
    }
}

/// The parts of a page of orders, by order.
pub fn by_order(movements: Vec<Movement>) -> std::collections::HashMap<OrderId, Vec<Movement>> {
    let mut map = std::collections::HashMap::new();
    for movement in movements {
        if let Some(order) = movement.order_id {
            map.entry(order).or_insert_with(Vec::new).push(movement);
        }
    }
    map
}

//! Invariant 3: the levels are the sums of the ledger and of what is held; nothing is oversold.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::number;
use crate::check::evidence::Kind;
use crate::check::{Evidence, Violation};

#[derive(Default)]
struct Sums {
    on_hand: i64,
    reserved: i64,
    held: i64,
}

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let sums = add_up(evidence);
    for (product, level) in evidence.write.all(Kind::StockLevel) {
        let on_hand = number(&level.state, "on_hand");
        let reserved = number(&level.state, "reserved");
        let mut say = |problem: String| {
            violations.push(Violation::new(3, Kind::Product.id(product), problem));
        };
        let none = Sums::default();
        let sum = sums.get(&product).unwrap_or(&none);
        if on_hand != sum.on_hand {
            say(format!(
                "{on_hand} units on hand, the ledger's sum is {}",
                sum.on_hand
            ));
        }
        if reserved != sum.reserved {
            say(format!(
                "{reserved} units reserved, the ledger's sum is {}",
                sum.reserved
            ));
        }
        if reserved != sum.held {
            say(format!(
                "{reserved} units reserved, orders hold {}",
                sum.held
            ));
        }
        if reserved < 0 || reserved > on_hand {
            say(format!("{reserved} units reserved of {on_hand} on hand"));
        }
    }
    for product in sums
        .keys()
        .filter(|id| evidence.write.get(Kind::StockLevel, **id).is_none())
    {
        let problem = "units moved, but there is no level".to_owned();
        violations.push(Violation::new(3, Kind::Product.id(*product), problem));
    }
    never_oversold(evidence, violations);
}

fn add_up(evidence: &Evidence) -> BTreeMap<Uuid, Sums> {
    let mut sums: BTreeMap<Uuid, Sums> = BTreeMap::new();
    for movement in &evidence.write.movements {
        let sum = sums.entry(movement.product).or_default();
        match movement.kind.as_str() {
            "RECEIVED" | "ADJUSTED" => sum.on_hand += movement.quantity,
            "RESERVED" => sum.reserved += movement.quantity,
            "RELEASED" => sum.reserved -= movement.quantity,
            "SHIPPED" => {
                sum.reserved -= movement.quantity;
                sum.on_hand -= movement.quantity;
            }
            _ => {}
        }
    }
    for hold in evidence
        .write
        .holds
        .values()
        .filter(|hold| hold.state == "HELD")
    {
        for line in &hold.lines {
            sums.entry(line.product).or_default().held += line.quantity;
        }
    }
    sums
}

/// Runs the ledger line by line: at no point more was held than there was. Lines of one product are written under its
/// lock, so their order is the order of their commits.
fn never_oversold(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut levels: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for movement in &evidence.write.movements {
        let (on_hand, reserved) = levels.entry(movement.product).or_default();
        match movement.kind.as_str() {
            "RECEIVED" | "ADJUSTED" => *on_hand += movement.quantity,
            "RESERVED" => *reserved += movement.quantity,
            "RELEASED" => *reserved -= movement.quantity,
            "SHIPPED" => {
                *reserved -= movement.quantity;
                *on_hand -= movement.quantity;
            }
            other => {
                let problem = format!(
                    "line {} of the ledger is of unknown kind {other}",
                    movement.id
                );
                violations.push(Violation::new(
                    3,
                    Kind::Product.id(movement.product),
                    problem,
                ));
            }
        }
        if *reserved < 0 || *reserved > *on_hand {
            let problem = format!(
                "after line {} of the ledger {reserved} units are reserved of {on_hand} on hand",
                movement.id
            );
            violations.push(Violation::new(
                3,
                Kind::Product.id(movement.product),
                problem,
            ));
        }
    }
}

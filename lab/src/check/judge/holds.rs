//! Invariant 4: an order holds all of its lines or none, and each hold ends once.

use std::collections::HashMap;

use uuid::Uuid;

use super::{lines, list, newest_events, number, ordered, status, text};
use crate::check::evidence::{Entity, Hold, Kind, Line, Movement};
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut moved: HashMap<Uuid, Vec<&Movement>> = HashMap::new();
    for movement in &evidence.write.movements {
        if let Some(order) = movement.order {
            moved.entry(order).or_default().push(movement);
        }
    }
    for (id, order) in evidence.write.all(Kind::Order) {
        let moved = moved.remove(&id).unwrap_or_default();
        let found = match evidence.write.holds.get(&id) {
            None => without_hold(order, &moved),
            Some(hold) => with_hold(order, hold, &moved),
        };
        if let Err(problem) = found {
            violations.push(Violation::new(4, Kind::Order.id(id), problem));
        }
    }
    let decisions = newest_events(evidence, Kind::Stock);
    for (id, hold) in &evidence.write.holds {
        if let Some(decision) = decisions.get(id)
            && let Err(problem) = announced(hold, decision)
        {
            violations.push(Violation::new(4, Kind::Order.id(*id), problem));
        }
    }
    for id in moved.keys() {
        let problem = "units moved for an order that does not exist";
        violations.push(Violation::new(4, Kind::Order.id(*id), problem));
    }
}

/// Only an order whose stock was never decided may be without a hold.
fn without_hold(order: &Entity, moved: &[&Movement]) -> Result<(), String> {
    match status(order) {
        _ if !moved.is_empty() => Err("units moved, but no hold is noted".to_owned()),
        "PENDING" => Ok(()),
        status => Err(format!("is {status}, but its stock was never decided")),
    }
}

fn with_hold(order: &Entity, hold: &Hold, moved: &[&Movement]) -> Result<(), String> {
    let status = status(order);
    let fits = match hold.state.as_str() {
        "HELD" => matches!(status, "PENDING" | "CONFIRMED" | "PAID" | "PROCESSING"),
        "REJECTED" => matches!(status, "PENDING" | "REJECTED" | "CANCELED"),
        "RELEASED" => status == "CANCELED",
        "SHIPPED" => matches!(status, "SHIPPED" | "DELIVERED"),
        _ => false,
    };
    if !fits {
        return Err(format!("is {status}, its stock is {}", hold.state));
    }

    let asked = ordered(&order.state);
    let mut taken = hold.lines.clone();
    taken.sort();
    if hold.state == "REJECTED" {
        short_lines_are_named(order, hold, &asked)?;
        if !moved.is_empty() {
            return Err(format!(
                "was rejected, but {} lines of the ledger name it",
                moved.len()
            ));
        }
        return Ok(());
    }
    // Canceled before anything was held for it.
    if hold.state == "RELEASED" && taken.is_empty() && moved.is_empty() {
        return Ok(());
    }
    if taken != asked {
        return Err(format!("asks for {asked:?}, holds {taken:?}"));
    }
    let ends_in = match hold.state.as_str() {
        "RELEASED" => Some("RELEASED"),
        "SHIPPED" => Some("SHIPPED"),
        _ => None,
    };
    for kind in ["RESERVED", "RELEASED", "SHIPPED"] {
        let mut lines: Vec<Line> = moved
            .iter()
            .filter(|movement| movement.kind == kind)
            .map(|movement| Line {
                product: movement.product,
                quantity: movement.quantity,
            })
            .collect();
        lines.sort();
        let expected: &[Line] = if kind == "RESERVED" || ends_in == Some(kind) {
            &asked
        } else {
            &[]
        };
        if lines != expected {
            return Err(format!(
                "is {}, asks for {asked:?}, and the ledger has as {kind}: {lines:?}",
                hold.state
            ));
        }
    }
    Ok(())
}

/// The newest decision in the topic says what the hold says.
fn announced(hold: &Hold, decision: &Entity) -> Result<(), String> {
    let state = match text(&decision.state, "state") {
        "RESERVED" => "HELD",
        other => other,
    };
    let (mut moved, mut short) = (hold.lines.clone(), hold.short.clone());
    moved.sort();
    short.sort();
    let told = (
        state,
        lines(&decision.state, "lines"),
        lines(&decision.state, "short"),
    );
    if told != (hold.state.as_str(), moved, short) {
        return Err(format!(
            "its stock is {}, the newest decision in the topic says {}",
            hold.state, decision.state
        ));
    }
    Ok(())
}

/// A rejection names at least one line that was short, with how many were asked for and how many there were.
fn short_lines_are_named(order: &Entity, hold: &Hold, asked: &[Line]) -> Result<(), String> {
    if hold.short.is_empty() {
        return Err("was rejected without a line that was short".to_owned());
    }
    for short in &hold.short {
        let Some(line) = asked.iter().find(|line| line.product == short.product) else {
            return Err(format!(
                "was rejected for {}, which it does not ask for",
                short.product
            ));
        };
        if short.quantity >= line.quantity {
            return Err(format!(
                "was rejected although it asks for {} of {} and there were {}",
                line.quantity, short.product, short.quantity
            ));
        }
        if status(order) != "REJECTED" {
            continue;
        }
        let told = list(&order.state, "shortages").iter().any(|told| {
            text(told, "product_id") == short.product.to_string()
                && number(told, "requested") == line.quantity
                && number(told, "available") == short.quantity
        });
        if !told {
            return Err(format!("does not tell that {} was short", short.product));
        }
    }
    Ok(())
}

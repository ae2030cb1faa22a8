//! The invariants, each over evidence in memory. One file per subject; every function names what it found by id.

mod acknowledged;
mod frames;
mod holds;
mod log;
mod payments;
mod stock;
mod views;

use serde_json::Value;
use uuid::Uuid;

use super::evidence::{Entity, Line};
use super::{Evidence, Violation};

/// Every broken promise, by invariant and subject.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rule in [
        acknowledged::judge,
        stock::judge,
        holds::judge,
        payments::judge,
        log::judge,
        views::judge,
        frames::judge,
    ] {
        rule(evidence, &mut violations);
    }
    violations.sort();
    violations.dedup();
    violations
}

fn status(entity: &Entity) -> &str {
    text(&entity.state, "status")
}

fn text<'a>(state: &'a Value, field: &str) -> &'a str {
    state[field].as_str().unwrap_or_default()
}

fn list<'a>(state: &'a Value, field: &str) -> &'a [Value] {
    state[field]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn number(state: &Value, field: &str) -> i64 {
    state[field].as_i64().unwrap_or_default()
}

fn is_deleted(state: &Value) -> bool {
    state["deleted"].as_bool().unwrap_or_default()
}

/// What an order asks for, by product.
fn ordered(state: &Value) -> Vec<Line> {
    let mut lines: Vec<Line> = list(state, "items")
        .iter()
        .filter_map(|item| {
            let product = Uuid::try_parse(text(item, "product_id")).ok()?;
            Some(Line {
                product,
                quantity: number(item, "quantity"),
            })
        })
        .collect();
    lines.sort();
    lines
}

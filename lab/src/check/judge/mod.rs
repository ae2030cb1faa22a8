//! The invariants, each over evidence in memory. One file per subject; every function names what it found by id.

mod acknowledged;
mod frames;
mod holds;
mod log;
mod payments;
mod stock;
mod timeline;
mod views;

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::evidence::{Entity, Kind, Line, Record};
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
        timeline::judge,
        views::judge,
        frames::judge,
    ] {
        rule(evidence, &mut violations);
    }
    violations.sort();
    violations.dedup();
    violations
}

/// What was sent more than once, for runs in which nothing explains it.
pub fn repeats(evidence: &Evidence) -> Vec<Violation> {
    log::repeats(evidence)
}

/// The state that the newest event of each aggregate carries.
fn newest_events(evidence: &Evidence, kind: Kind) -> BTreeMap<Uuid, Entity> {
    let mut newest: BTreeMap<Uuid, Entity> = BTreeMap::new();
    for record in evidence.log.get(kind.topic()).into_iter().flatten() {
        let Record {
            key,
            version,
            state,
            ..
        } = record;
        if newest
            .get(key)
            .is_none_or(|entity| entity.version < *version)
        {
            newest.insert(
                *key,
                Entity {
                    version: *version,
                    state: state.clone(),
                },
            );
        }
    }
    newest
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
    lines(state, "items")
}

/// A list of products and quantities, by product.
fn lines(state: &Value, field: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = list(state, field)
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

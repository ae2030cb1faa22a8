//! Invariant 8: views and the newest events equal the write side, field by field.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{is_deleted, list, newest_events};
use crate::check::evidence::{Entity, Kind};
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for kind in Kind::VIEWED {
        let empty = BTreeMap::new();
        let views = evidence.views.get(&kind).unwrap_or(&empty);
        let events = newest_events(evidence, kind);
        for (id, entity) in evidence.write.all(kind) {
            let mut say = |where_: &str, problem: String| {
                violations.push(Violation::new(
                    8,
                    kind.id(id),
                    format!("{where_}: {problem}"),
                ));
            };
            match views.get(&id) {
                None => say("view", "is missing".to_owned()),
                Some(view) => compare(kind, entity, view, |problem| say("view", problem)),
            }
            if let Some(event) = events.get(&id) {
                compare(kind, entity, event, |problem| say("newest event", problem));
            }
        }
        for id in views
            .keys()
            .filter(|id| evidence.write.get(kind, **id).is_none())
        {
            violations.push(Violation::new(8, kind.id(*id), "has a view, but no row"));
        }
    }
}

fn compare(kind: Kind, expected: &Entity, found: &Entity, mut say: impl FnMut(String)) {
    if expected.version != found.version {
        say(format!(
            "is at version {}, the row at {}",
            found.version, expected.version
        ));
        return;
    }
    let (expected, found) = (left_of(kind, &expected.state), left_of(kind, &found.state));
    let mut problems = Vec::new();
    differences("", &expected, &found, &mut problems);
    for problem in problems {
        say(problem);
    }
}

/// A deleted thing keeps only what is not personal; the rest may be scrubbed early or late.
fn left_of(kind: Kind, state: &Value) -> Value {
    if !is_deleted(state) {
        return state.clone();
    }
    let mut left = json!({
        "deleted": true,
        "created_at": state["created_at"],
        "updated_at": state["updated_at"],
    });
    if kind == Kind::Order {
        let timeline: Vec<Value> = list(state, "timeline")
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                entry["reason"] = Value::Null;
                entry
            })
            .collect();
        left["status"] = state["status"].clone();
        left["timeline"] = timeline.into();
    }
    left
}

/// Notes each field of the expected value that the found one does not equal. Fields that only the found one has are its
/// own business.
fn differences(path: &str, expected: &Value, found: &Value, problems: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                differences(&format!("{path}{dot}{name}"), value, &found[name], problems);
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (index, (item, other)) in items.iter().zip(others).enumerate() {
                differences(&format!("{path}[{index}]"), item, other, problems);
            }
        }
        _ if expected == found => {}
        _ => problems.push(format!("{path} is {found}, the row says {expected}")),
    }
}

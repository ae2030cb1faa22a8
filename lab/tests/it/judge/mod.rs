//! Each planted fault is found, under its invariant, with the id of what it is about.

mod streams;
mod tables;

use serde_json::Value;
use shop_lab::check::evidence::{Entity, Movement, Watched};
use shop_lab::check::{Evidence, Kind, judge};
use uuid::Uuid;

use crate::evidence::{DELIVERED, REJECTED, healthy};

/// What is done to a healthy shop, the invariant that finds it, whose id it names, and words of the message.
type Fault = (&'static str, fn(&mut Evidence), u8, Uuid, &'static str);

fn row(evidence: &mut Evidence, kind: Kind, id: Uuid) -> &mut Entity {
    evidence
        .write
        .entities
        .get_mut(&kind)
        .and_then(|all| all.get_mut(&id))
        .expect("a row")
}

fn view(evidence: &mut Evidence, kind: Kind, id: Uuid) -> &mut Entity {
    evidence
        .views
        .get_mut(&kind)
        .and_then(|all| all.get_mut(&id))
        .expect("a view")
}

/// Changes an order in its row, its view and its newest event, so that only the rule about its content can find it.
fn everywhere(evidence: &mut Evidence, id: Uuid, change: fn(&mut Value)) {
    change(&mut row(evidence, Kind::Order, id).state);
    change(&mut view(evidence, Kind::Order, id).state);
    let records = evidence.log.get_mut("orders").expect("a topic");
    let newest = records
        .iter_mut()
        .filter(|record| record.key == id)
        .max_by_key(|r| r.version);
    change(newest.map(|record| &mut record.state).expect("a state"));
}

fn watched(evidence: &mut Evidence, order: Uuid) -> &mut Watched {
    evidence
        .clients
        .watched
        .iter_mut()
        .find(|watched| watched.order == order)
        .expect("a watch")
}

fn movement<'a>(evidence: &'a mut Evidence, order: Uuid, kind: &str) -> &'a mut Movement {
    let movements = evidence.write.movements.iter_mut();
    movements
        .into_iter()
        .find(|m| m.order == Some(order) && m.kind == kind)
        .expect("a movement")
}

#[test]
fn a_healthy_shop_has_no_violations() {
    let violations = judge::judge(&healthy());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_fault_is_named() {
    let mut missed = Vec::new();
    for (name, plant, invariant, id, words) in tables::FAULTS.iter().chain(streams::FAULTS) {
        let mut evidence = healthy();
        plant(&mut evidence);
        let violations = judge::judge(&evidence);
        let found = violations.iter().any(|violation| {
            violation.invariant == *invariant
                && violation.subject.contains(&id.to_string())
                && violation.problem.contains(words)
        });
        if !found {
            missed.push(format!("{name}: {violations:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_reconnect_that_repeats_the_newest_version_is_right() {
    let mut evidence = healthy();
    let connections = &mut watched(&mut evidence, DELIVERED).connections;
    let tail = connections[0].split_off(3);
    let mut again = vec![connections[0][2].clone()];
    again.extend(tail);
    connections.push(vec![]); // connected, and lost before the snapshot came
    connections.push(again);
    assert_eq!(judge::judge(&evidence), []);
}

#[test]
fn repeats_in_the_log_are_right_as_long_as_first_occurrences_are_in_order() {
    let mut evidence = healthy();
    for topic in ["orders", "order-status"] {
        let records = evidence.log.get_mut(topic).expect("a topic");
        let again: Vec<_> = records
            .iter()
            .filter(|record| record.key == DELIVERED)
            .cloned()
            .collect();
        for mut record in again {
            record.offset = i64::try_from(records.len()).expect("few");
            records.push(record);
        }
    }
    assert_eq!(judge::judge(&evidence), []);
}

#[test]
fn an_order_whose_answer_was_lost_may_exist() {
    let mut evidence = healthy();
    evidence
        .clients
        .acknowledged
        .retain(|acknowledged| acknowledged.id != REJECTED);
    evidence.clients.unknown_orders = 1;
    assert_eq!(judge::judge(&evidence), []);
}

#[test]
fn a_deleted_order_keeps_only_what_is_not_personal() {
    let mut evidence = healthy();
    for side in [&mut evidence.write.entities, &mut evidence.views] {
        let order = side
            .get_mut(&Kind::Order)
            .and_then(|all| all.get_mut(&REJECTED))
            .expect("one");
        order.state["deleted"] = true.into();
    }
    let records = evidence.log.get_mut("orders").expect("a topic");
    let newest = records
        .iter_mut()
        .filter(|record| record.key == REJECTED)
        .max_by_key(|r| r.version);
    newest.map(|record| &mut record.state).expect("a state")["deleted"] = true.into();
    let view = view(&mut evidence, Kind::Order, REJECTED);
    for field in ["customer_name", "customer_id", "items", "total"] {
        view.state[field] = Value::Null;
    }
    assert_eq!(judge::judge(&evidence), []);
}

//! Each planted fault is found, under its invariant, with the id of what it is about.

use serde_json::{Value, json};
use shop_lab::check::evidence::{Entity, Line, Movement, Watched};
use shop_lab::check::{Evidence, Kind, judge};
use uuid::Uuid;

use crate::evidence::{CANCELED, CONFIRMED, DELIVERED, PRODUCT, REJECTED, USER, healthy};

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
    change(
        newest
            .and_then(|record| record.state.as_mut())
            .expect("a state"),
    );
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

const FAULTS: &[Fault] = &[
    // 1: what was acknowledged.
    (
        "an acknowledged order without a row",
        |e| {
            e.write
                .entities
                .get_mut(&Kind::Order)
                .expect("orders")
                .remove(&CONFIRMED);
        },
        1,
        CONFIRMED,
        "createOrder: was acknowledged, but there is no row",
    ),
    (
        "a row older than the answer",
        |e| {
            e.clients
                .acknowledged
                .iter_mut()
                .find(|a| a.id == CONFIRMED)
                .expect("one")
                .version = Some(9);
        },
        1,
        CONFIRMED,
        "answered version 9, the row has 2",
    ),
    (
        "a status that the row never had",
        |e| {
            let last = e
                .clients
                .acknowledged
                .iter_mut()
                .rfind(|a| a.id == DELIVERED);
            last.expect("one").status = Some("CANCELED".to_owned());
        },
        1,
        DELIVERED,
        "answered CANCELED",
    ),
    (
        "an acknowledged payment without a row",
        |e| everywhere(e, CANCELED, |order| order["payments"] = json!([])),
        1,
        CANCELED,
        "was acknowledged, but there is no row",
    ),
    (
        "a refused payment that was recorded",
        |e| e.clients.refused_payments[0].reference = format!("ref-{DELIVERED}"),
        1,
        DELIVERED,
        "was refused (ALREADY_PAID) and is recorded",
    ),
    (
        "an order that nobody placed",
        |e| e.clients.acknowledged.retain(|a| a.id != REJECTED),
        1,
        REJECTED,
        "no client was told of",
    ),
    (
        "a version without an event",
        |e| {
            e.write
                .outbox
                .retain(|row| row.id != DELIVERED || row.kind != Kind::Order || row.version != 4);
        },
        1,
        DELIVERED,
        "version 4 has no event in the outbox",
    ),
    (
        "an event of a version that never was",
        |e| {
            let mut row = e
                .write
                .outbox
                .iter()
                .find(|row| row.id == USER)
                .expect("one")
                .clone();
            row.version = 7;
            e.write.outbox.push(row);
        },
        1,
        USER,
        "an event of version 7, the row never had it",
    ),
    (
        "a row that was not sent",
        |e| {
            e.write
                .outbox
                .iter_mut()
                .find(|row| row.id == USER)
                .expect("one")
                .sent = false;
        },
        1,
        USER,
        "is not marked sent",
    ),
    (
        "a row that is not in the topic",
        |e| e.log.get_mut("users").expect("a topic").clear(),
        1,
        USER,
        "version 1 is not in topic users",
    ),
    (
        "a record that is in no row",
        |e| {
            let records = e.log.get_mut("users").expect("a topic");
            let mut record = records[0].clone();
            (record.version, record.offset) = (2, 1);
            records.push(record);
        },
        1,
        USER,
        "topic users has version 2, the outbox does not",
    ),
    (
        "two events of one version",
        |e| {
            let records = e.log.get_mut("users").expect("a topic");
            let mut record = records[0].clone();
            (record.event_id, record.offset) = (Uuid::from_u128(99), 1);
            records.push(record);
        },
        1,
        USER,
        "version 1 is event",
    ),
    // 3: stock.
    (
        "a doubled shipment in the ledger",
        |e| {
            let mut doubled = movement(e, DELIVERED, "SHIPPED").clone();
            (doubled.order, doubled.id) = (None, 99);
            e.write.movements.push(doubled);
        },
        3,
        PRODUCT,
        "98 units on hand, the ledger's sum is 96",
    ),
    (
        "more reserved than held",
        |e| row(e, Kind::StockLevel, PRODUCT).state["reserved"] = 5.into(),
        3,
        PRODUCT,
        "5 units reserved, orders hold 4",
    ),
    (
        "more held at some point than there was",
        |e| {
            e.write.movements[0].quantity = 2;
            let id = 99;
            let kind = "RECEIVED".to_owned();
            e.write.movements.push(Movement {
                id,
                product: PRODUCT,
                order: None,
                kind,
                quantity: 98,
            });
        },
        3,
        PRODUCT,
        "units are reserved of",
    ),
    // 4: holds.
    (
        "a hold of half an order",
        |e| {
            e.write.holds.get_mut(&CONFIRMED).expect("a hold").lines = vec![Line {
                product: PRODUCT,
                quantity: 2,
            }];
        },
        4,
        CONFIRMED,
        "asks for",
    ),
    (
        "a canceled order that still holds",
        |e| e.write.holds.get_mut(&CANCELED).expect("a hold").state = "HELD".to_owned(),
        4,
        CANCELED,
        "is CANCELED, its stock is HELD",
    ),
    (
        "a hold that ended twice",
        |e| {
            let mut again = movement(e, DELIVERED, "SHIPPED").clone();
            (again.kind, again.id) = ("RELEASED".to_owned(), 99);
            e.write.movements.push(again);
        },
        4,
        DELIVERED,
        "the ledger has as RELEASED",
    ),
    (
        "an order that was never decided",
        |e| {
            e.write.holds.remove(&CONFIRMED);
            e.write.movements.retain(|m| m.order != Some(CONFIRMED));
        },
        4,
        CONFIRMED,
        "its stock was never decided",
    ),
    (
        "a needless rejection",
        |e| e.write.holds.get_mut(&REJECTED).expect("a hold").short[0].quantity = 500,
        4,
        REJECTED,
        "was rejected although",
    ),
    (
        "a rejection that names nothing",
        |e| everywhere(e, REJECTED, |order| order["shortages"] = json!([])),
        4,
        REJECTED,
        "does not tell that",
    ),
    // 5: payments.
    (
        "two payments that are not refund due",
        |e| {
            everywhere(e, DELIVERED, |order| {
                let mut again = order["payments"][0].clone();
                again["reference"] = "again".into();
                order["payments"]
                    .as_array_mut()
                    .expect("a list")
                    .push(again);
            });
        },
        5,
        DELIVERED,
        "has 2 payments that are not refund due",
    ),
    (
        "a canceled order whose money is kept",
        |e| {
            everywhere(e, CANCELED, |order| {
                order["payments"][0]["refund_due_version"] = Value::Null;
            });
        },
        5,
        CANCELED,
        "is not due",
    ),
    (
        "a delivered order that nobody paid",
        |e| {
            everywhere(e, DELIVERED, |order| {
                order["payments"][0]["refund_due_version"] = 6.into();
            });
        },
        5,
        DELIVERED,
        "is DELIVERED without a payment",
    ),
    (
        "a payment of another amount",
        |e| {
            everywhere(e, DELIVERED, |order| {
                order["payments"][0]["amount"]["minor"] = 1.into();
            });
        },
        5,
        DELIVERED,
        "paid was",
    ),
    // 6: the log.
    (
        "versions that overtake each other",
        |e| {
            let records = e.log.get_mut("orders").expect("a topic");
            let first = records
                .iter()
                .position(|r| r.key == DELIVERED)
                .expect("one");
            let (one, two) = (records[first].offset, records[first + 1].offset);
            (records[first].offset, records[first + 1].offset) = (two, one);
        },
        6,
        DELIVERED,
        "comes before version 1",
    ),
    (
        "a key in two partitions",
        |e| {
            let records = e.log.get_mut("orders").expect("a topic");
            records
                .iter_mut()
                .rfind(|r| r.key == DELIVERED)
                .expect("one")
                .partition = 1;
        },
        6,
        DELIVERED,
        "is in several partitions",
    ),
    (
        "a status that was never published",
        |e| {
            e.log
                .get_mut("order-status")
                .expect("a topic")
                .retain(|r| r.key != DELIVERED || r.version != 6);
        },
        6,
        DELIVERED,
        "topic order-status ends with version 5",
    ),
    (
        "a level that was never published",
        |e| e.log.get_mut("stock-status").expect("a topic").clear(),
        6,
        PRODUCT,
        "topic stock-status ends with nothing",
    ),
    // 8: views.
    (
        "a view set back",
        |e| {
            let view = view(e, Kind::Order, DELIVERED);
            view.version = 3;
            view.state["status"] = "PAID".into();
        },
        8,
        DELIVERED,
        "view: is at version 3, the row at 6",
    ),
    (
        "a view with another field",
        |e| view(e, Kind::Order, DELIVERED).state["items"][0]["quantity"] = 7.into(),
        8,
        DELIVERED,
        "view: items[0].quantity is 7, the row says 2",
    ),
    (
        "a view that lost its last step",
        |e| {
            view(e, Kind::Order, DELIVERED).state["timeline"]
                .as_array_mut()
                .expect("a list")
                .pop();
        },
        8,
        DELIVERED,
        "view: timeline",
    ),
    (
        "a view that is missing",
        |e| {
            e.views.get_mut(&Kind::User).expect("users").remove(&USER);
        },
        8,
        USER,
        "view: is missing",
    ),
    (
        "a view of nothing",
        |e| {
            let view = view(e, Kind::User, USER).clone();
            e.views
                .get_mut(&Kind::User)
                .expect("users")
                .insert(Uuid::from_u128(77), view);
        },
        8,
        Uuid::from_u128(77),
        "has a view, but no row",
    ),
    (
        "an event that tells something else",
        |e| {
            e.log.get_mut("products").expect("a topic")[0]
                .state
                .as_mut()
                .expect("a state")["name"] = "Cup".into();
        },
        8,
        PRODUCT,
        "newest event: name is \"Cup\", the row says \"Mug\"",
    ),
    // 9: subscribers.
    (
        "a frame that was skipped",
        |e| {
            watched(e, DELIVERED).connections[0].remove(2);
        },
        9,
        DELIVERED,
        "version 5 came after version 3: a gap",
    ),
    (
        "a frame that came twice",
        |e| {
            let frames = &mut watched(e, DELIVERED).connections[0];
            frames.insert(2, frames[1].clone());
        },
        9,
        DELIVERED,
        "version 3 came after version 3: a repeat",
    ),
    (
        "a subscriber that misses the end",
        |e| {
            watched(e, DELIVERED).connections[0].pop();
        },
        9,
        DELIVERED,
        "saw version 5 last, the row is at 6",
    ),
    (
        "a subscriber that saw nothing",
        |e| watched(e, DELIVERED).connections = vec![vec![]],
        9,
        DELIVERED,
        "saw nothing",
    ),
    (
        "an older snapshot after a reconnect",
        |e| {
            let connections = &mut watched(e, DELIVERED).connections;
            let again = connections[0][1..].to_vec();
            connections.push(again);
        },
        9,
        DELIVERED,
        "began with version 3 after version 6",
    ),
    (
        "a frame that lies",
        |e| watched(e, DELIVERED).connections[0][1].status = "SHIPPED".to_owned(),
        9,
        DELIVERED,
        "the frame of version 3 says",
    ),
    (
        "a frame with a later order",
        |e| watched(e, DELIVERED).connections[0][1].order_version = 4,
        9,
        DELIVERED,
        "came with the order at 4",
    ),
    (
        "a subscription that failed",
        |e| watched(e, DELIVERED).errors.push("boom".to_owned()),
        9,
        DELIVERED,
        "the subscription failed: boom",
    ),
];

#[test]
fn a_healthy_shop_has_no_violations() {
    let violations = judge::judge(&healthy());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_fault_is_named() {
    let mut missed = Vec::new();
    for (name, plant, invariant, id, words) in FAULTS {
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
    newest
        .and_then(|record| record.state.as_mut())
        .expect("a state")["deleted"] = true.into();
    let view = view(&mut evidence, Kind::Order, REJECTED);
    for field in ["customer_name", "customer_id", "items", "total"] {
        view.state[field] = Value::Null;
    }
    assert_eq!(judge::judge(&evidence), []);
}

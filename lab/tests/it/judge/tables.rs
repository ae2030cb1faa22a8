//! Faults in tables: acknowledged mutations, stock, holds, payments.

use serde_json::{Value, json};
use shop_lab::check::Kind;
use shop_lab::check::evidence::{Line, Movement};
use uuid::Uuid;

use super::{Fault, everywhere, movement, row};
use crate::evidence::{CANCELED, CONFIRMED, DELIVERED, PRODUCT, REJECTED, USER};

pub(super) const FAULTS: &[Fault] = &[
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
        |e| "HELD".clone_into(&mut e.write.holds.get_mut(&CANCELED).expect("a hold").state),
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
    (
        "a decision in the topic that the hold does not know",
        |e| {
            let decisions = e.log.get_mut("stock").expect("a topic");
            let newest = decisions.iter_mut().rfind(|record| record.key == CANCELED);
            newest.expect("a decision").state["state"] = "SHIPPED".into();
        },
        4,
        CANCELED,
        "the newest decision in the topic says",
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
];

//! The wire form of every event. A snapshot that changes is a contract that changes: keep the old one as a fixture that must
//! still be read.

use uuid::Uuid;

use super::event::{StockDecision, TraceParent};
use super::wire::header;
use super::{DecodeError, Encoding, Event, EventType, Payload, Topic, WireRecord};
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::stock::{HoldState, Units};
use crate::domain::{
    EventId, Money, Order, OrderId, OrderStatus, Product, ProductId, StockLevel, Timestamp, User,
    UserId,
};

const AT: Timestamp = Timestamp::from_millis(1_795_232_096_789);

fn after(millis: i64) -> Timestamp {
    Timestamp::from_millis(AT.millis() + millis)
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0193_9f2e_0000_7000_8000_0000_0000_0000 + n)
}

fn eur(minor: i64) -> Money {
    Money {
        minor,
        currency: "EUR".parse().expect("a currency"),
    }
}

fn order() -> Order {
    let entry = |version, from, to, reason: Option<&str>, actor| TimelineEntry {
        version,
        from,
        to,
        reason: reason.map(str::to_owned),
        actor,
        at: after(i64::from(version)),
    };
    Order {
        id: OrderId::from_uuid(uuid(3)),
        version: 4,
        status: OrderStatus::Canceled,
        customer_id: UserId::from_uuid(uuid(1)),
        customer_name: "Ada".into(),
        items: vec![OrderItem {
            product_id: ProductId::from_uuid(uuid(2)),
            product_name: "Mug".into(),
            unit_price: eur(250),
            quantity: 2,
        }],
        total: eur(500),
        payments: vec![Payment {
            method: "card".into(),
            reference: "p-1".into(),
            amount: eur(500),
            recorded_at: after(3),
            recorded_version: 3,
            refund_due_version: Some(4),
        }],
        shortages: vec![Shortage {
            product_id: ProductId::from_uuid(uuid(2)),
            requested: 2,
            available: 1,
        }],
        timeline: vec![
            entry(1, None, OrderStatus::Pending, None, Actor::Customer),
            entry(
                2,
                Some(OrderStatus::Pending),
                OrderStatus::Confirmed,
                Some("stock reserved"),
                Actor::System,
            ),
            entry(
                3,
                Some(OrderStatus::Confirmed),
                OrderStatus::Paid,
                None,
                Actor::Customer,
            ),
            entry(
                4,
                Some(OrderStatus::Paid),
                OrderStatus::Canceled,
                Some("lost"),
                Actor::Staff,
            ),
        ],
        created_at: AT,
        updated_at: after(4),
        deleted: false,
    }
}

fn payload_of(kind: &EventType) -> (Topic, Payload) {
    let family = kind.as_str().split('.').next();
    match (kind, family) {
        (EventType::StockLevelChanged, _) => {
            let product_id = ProductId::from_uuid(uuid(2));
            let level = StockLevel {
                product_id,
                on_hand: 10,
                reserved: 3,
                sellable: true,
                version: 5,
            };
            (Topic::StockLevels, Payload::StockLevel(level))
        }
        (_, Some("user")) => {
            let user = User {
                id: UserId::from_uuid(uuid(1)),
                version: 2,
                name: "Ada".into(),
                email: "ada@example.org".into(),
                created_at: AT,
                updated_at: after(1),
                deleted: *kind == EventType::UserDeleted,
            };
            (Topic::Users, Payload::User(user))
        }
        (_, Some("product")) => {
            let product = Product {
                id: ProductId::from_uuid(uuid(2)),
                version: 2,
                name: "Mug".into(),
                description: "For tea".into(),
                price: eur(250),
                created_at: AT,
                updated_at: after(1),
                deleted: *kind == EventType::ProductDeleted,
            };
            (Topic::Products, Payload::Product(product))
        }
        (_, Some("order")) => (Topic::Orders, Payload::Order(Box::new(order()))),
        (stock, _) => {
            let state = match stock {
                EventType::StockReserved => HoldState::Held,
                EventType::StockRejected => HoldState::Rejected,
                EventType::StockReleased => HoldState::Released,
                _ => HoldState::Shipped,
            };
            let decision = StockDecision {
                order_id: OrderId::from_uuid(uuid(3)),
                version: 1,
                order_version: 1,
                state: Some(state),
                lines: vec![Units {
                    product_id: ProductId::from_uuid(uuid(2)),
                    quantity: 2,
                }],
                shortages: vec![],
            };
            (Topic::Stock, Payload::Stock(decision))
        }
    }
}

fn event(kind: &EventType) -> (Topic, Event) {
    let (topic, payload) = payload_of(kind);
    let event = Event {
        id: EventId::from_uuid(uuid(9)),
        kind: kind.clone(),
        time: AT,
        trace: Some(TraceParent::new(0xabc, 0xdef)),
        payload,
    };
    (topic, event)
}

fn decode(topic: Topic, record: &WireRecord) -> Result<Event, DecodeError> {
    let header = |name: &str| {
        record
            .headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    Event::decode(topic, header, &record.value)
}

/// A record with one header replaced, or taken away.
fn with_header(record: &WireRecord, name: &'static str, value: Option<&str>) -> WireRecord {
    let mut record = record.clone();
    record.headers.retain(|(known, _)| *known != name);
    record
        .headers
        .extend(value.map(|value| (name, value.to_owned())));
    record
}

#[test]
fn every_event_has_its_wire_form() {
    for kind in EventType::KNOWN {
        let record = event(kind).1.encode(Encoding::Json);
        let json: serde_json::Value = serde_json::from_slice(&record.value).expect("JSON");
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let text = format!(
            "key: {}\n{}\n\n{}",
            record.key,
            headers.join("\n"),
            serde_json::to_string_pretty(&json).expect("JSON")
        );
        insta::assert_snapshot!(kind.as_str().replace('.', "_"), text);
    }
}

#[test]
fn every_event_reads_back_from_json_and_from_binary() {
    for kind in EventType::KNOWN {
        let (topic, event) = event(kind);
        for encoding in [Encoding::Json, Encoding::Binary] {
            assert_eq!(
                decode(topic, &event.encode(encoding)).as_ref(),
                Ok(&event),
                "{kind} {encoding}"
            );
        }
    }
}

#[test]
fn what_a_newer_program_adds_is_skipped() {
    let (topic, event) = event(&EventType::OrderPaid);
    let mut record = with_header(
        &event.encode(Encoding::Json),
        header::TYPE,
        Some("order.gifted"),
    );
    let text = String::from_utf8(record.value).expect("JSON");
    record.value = text
        .replacen('{', r#"{"giftWrap":{"paper":"red"},"#, 1)
        .into_bytes();
    let read = decode(topic, &record).expect("readable");
    assert_eq!(read.kind, EventType::Unknown("order.gifted".into()));
    assert_eq!(read.payload, event.payload);
}

#[test]
fn a_decision_this_program_does_not_know_reads_as_unspecified() {
    let (topic, event) = event(&EventType::StockReserved);
    let mut record = event.encode(Encoding::Json);
    let text = String::from_utf8(record.value).expect("JSON");
    record.value = text
        .replace("DECISION_KIND_RESERVED", "DECISION_KIND_LENT")
        .into_bytes();
    let Payload::Stock(decision) = decode(topic, &record).expect("readable").payload else {
        panic!("a decision stays one")
    };
    assert_eq!(decision.state, None);
}

#[test]
fn poison_is_told_apart() {
    let (topic, event) = event(&EventType::OrderPaid);
    let good = event.encode(Encoding::Json);
    for name in [
        header::ID,
        header::TYPE,
        header::TIME,
        header::CONTENT_TYPE,
        header::AGGREGATE_VERSION,
    ] {
        let poison = decode(topic, &with_header(&good, name, None));
        assert_eq!(poison, Err(DecodeError::MissingHeader(name)));
    }
    for (name, value) in [
        (header::ID, "7"),
        (header::TIME, "yesterday"),
        (header::CONTENT_TYPE, "text/plain"),
    ] {
        let poison = decode(topic, &with_header(&good, name, Some(value)));
        assert!(
            matches!(poison, Err(DecodeError::BadHeader { .. })),
            "{name}"
        );
    }
    let wrong_version = with_header(&good, header::AGGREGATE_VERSION, Some("9"));
    assert!(matches!(
        decode(topic, &wrong_version),
        Err(DecodeError::Contradiction { .. })
    ));
    for value in [
        b"".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        good.value[..99].to_vec(),
    ] {
        let poison = decode(
            topic,
            &WireRecord {
                value,
                ..good.clone()
            },
        );
        assert!(matches!(poison, Err(DecodeError::BadPayload(_))));
    }
}

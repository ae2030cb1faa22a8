//! A small shop in which every promise is kept: one user, one product, and orders that ended in different ways.

use serde_json::{Value, json};
use shop_lab::check::evidence::{
    Acknowledged, Entity, Frame, Hold, Line, Movement, OutboxRow, Record, RefusedPayment, Watched,
};
use shop_lab::check::{Evidence, Kind};
use uuid::Uuid;

/// The user.
pub const USER: Uuid = Uuid::from_u128(1);
/// The product: 100 units came in.
pub const PRODUCT: Uuid = Uuid::from_u128(2);
/// PENDING, CONFIRMED, PAID, PROCESSING, SHIPPED, DELIVERED; 2 units.
pub const DELIVERED: Uuid = Uuid::from_u128(10);
/// PENDING, REJECTED; 500 units.
pub const REJECTED: Uuid = Uuid::from_u128(11);
/// PENDING, CONFIRMED, PAID, CANCELED; 3 units.
pub const CANCELED: Uuid = Uuid::from_u128(12);
/// PENDING, CONFIRMED; 4 units are held.
pub const CONFIRMED: Uuid = Uuid::from_u128(13);

const UNITS: i64 = 100;

/// The whole shop.
pub fn healthy() -> Evidence {
    let mut evidence = Evidence::default();
    add(
        &mut evidence,
        Kind::User,
        USER,
        &[json!({
            "deleted": false, "name": "Ada", "email": "ada@example.org", "created_at": 1, "updated_at": 1,
        })],
    );
    add(
        &mut evidence,
        Kind::Product,
        PRODUCT,
        &[json!({
            "deleted": false, "name": "Mug", "description": "", "price": { "minor": 250, "currency": "EUR" },
            "created_at": 1, "updated_at": 1,
        })],
    );
    move_units(&mut evidence, None, "RECEIVED", UNITS);
    let way = [
        "PENDING",
        "CONFIRMED",
        "PAID",
        "PROCESSING",
        "SHIPPED",
        "DELIVERED",
    ];
    order(&mut evidence, DELIVERED, 2, &way, "SHIPPED");
    order(
        &mut evidence,
        REJECTED,
        500,
        &["PENDING", "REJECTED"],
        "REJECTED",
    );
    order(
        &mut evidence,
        CANCELED,
        3,
        &["PENDING", "CONFIRMED", "PAID", "CANCELED"],
        "RELEASED",
    );
    order(
        &mut evidence,
        CONFIRMED,
        4,
        &["PENDING", "CONFIRMED"],
        "HELD",
    );
    let level = |on_hand: i64, reserved: i64| json!({ "on_hand": on_hand, "reserved": reserved, "sellable": true });
    add(
        &mut evidence,
        Kind::StockLevel,
        PRODUCT,
        &[level(UNITS, 0), level(UNITS - 2, 4)],
    );
    evidence.clients.refused_payments.push(RefusedPayment {
        order: DELIVERED,
        reference: "twice".to_owned(),
        code: "ALREADY_PAID".to_owned(),
    });
    evidence
}

/// Adds an aggregate with the states of its versions: row, outbox, topic, view.
fn add(evidence: &mut Evidence, kind: Kind, id: Uuid, states: &[Value]) {
    for (version, state) in (1..).zip(states) {
        publish(
            evidence,
            kind,
            id,
            version,
            "something.changed",
            state.clone(),
        );
        let topic = match kind {
            Kind::Order => "order-status",
            Kind::StockLevel => "stock-status",
            _ => continue,
        };
        let last = evidence.log[kind.topic()]
            .last()
            .cloned()
            .expect("just published");
        append(evidence, topic, last);
    }
    let version = u32::try_from(states.len()).expect("few");
    let entity = Entity {
        version,
        state: states.last().cloned().expect("one state"),
    };
    evidence
        .write
        .entities
        .entry(kind)
        .or_default()
        .insert(id, entity.clone());
    evidence.views.entry(kind).or_default().insert(id, entity);
}

fn publish(
    evidence: &mut Evidence,
    kind: Kind,
    id: Uuid,
    version: u32,
    event_type: &str,
    state: Value,
) {
    let seq = evidence.write.outbox.len() as u64 + 1;
    let event_id = Uuid::from_u128(0x1000 + u128::from(seq));
    let event_type = event_type.to_owned();
    evidence.write.outbox.push(OutboxRow {
        seq,
        event_id,
        kind,
        id,
        version,
        event_type: event_type.clone(),
        sent: true,
    });
    let record = Record {
        partition: 0,
        offset: 0,
        key: id,
        event_id,
        event_type,
        version,
        state,
    };
    append(evidence, kind.topic(), record);
}

fn append(evidence: &mut Evidence, topic: &'static str, mut record: Record) {
    let records = evidence.log.entry(topic).or_default();
    record.offset = i64::try_from(records.len()).expect("few");
    records.push(record);
}

fn move_units(evidence: &mut Evidence, order: Option<Uuid>, kind: &str, quantity: i64) {
    let id = evidence.write.movements.len() as u64 + 1;
    let kind = kind.to_owned();
    evidence.write.movements.push(Movement {
        id,
        product: PRODUCT,
        order,
        kind,
        quantity,
    });
}

fn order(evidence: &mut Evidence, id: Uuid, quantity: i64, way: &[&str], hold: &str) {
    let states: Vec<Value> = (1..=way.len())
        .map(|count| state(id, quantity, &way[..count]))
        .collect();
    add(evidence, Kind::Order, id, &states);
    let line = Line {
        product: PRODUCT,
        quantity,
    };
    let short = Line {
        product: PRODUCT,
        quantity: UNITS,
    };
    let decisions: &[&str] = match hold {
        "REJECTED" => &["REJECTED"],
        "HELD" => &["RESERVED"],
        _ => &["RESERVED", hold],
    };
    for (version, decision) in (1..).zip(decisions) {
        let units =
            |quantity: i64| json!([{ "product_id": PRODUCT.to_string(), "quantity": quantity }]);
        let state = match *decision {
            "REJECTED" => json!({ "state": decision, "lines": [], "short": units(UNITS) }),
            _ => json!({ "state": decision, "lines": units(quantity), "short": [] }),
        };
        publish(evidence, Kind::Stock, id, version, "stock.decided", state);
    }
    let rejected = hold == "REJECTED";
    evidence.write.holds.insert(
        id,
        Hold {
            state: hold.to_owned(),
            version: u32::try_from(decisions.len()).expect("few"),
            lines: if rejected { vec![] } else { vec![line] },
            short: if rejected { vec![short] } else { vec![] },
        },
    );
    if !rejected {
        move_units(evidence, Some(id), "RESERVED", quantity);
    }
    if matches!(hold, "RELEASED" | "SHIPPED") {
        move_units(evidence, Some(id), hold, quantity);
    }
    client(evidence, id, way);
}

fn state(id: Uuid, quantity: i64, way: &[&str]) -> Value {
    let timeline: Vec<Value> = way
        .iter()
        .enumerate()
        .map(|(index, status)| {
            let from = index.checked_sub(1).map(|before| way[before]);
            json!({
                "version": index + 1, "from": from, "to": status, "reason": null, "actor": "SYSTEM",
                "at": index + 1,
            })
        })
        .collect();
    let total = json!({ "minor": 250 * quantity, "currency": "EUR" });
    let status = way.last().expect("a status");
    let payments = if way.contains(&"PAID") {
        let due = (*status == "CANCELED").then_some(way.len());
        json!([{
            "method": "card", "reference": format!("ref-{id}"), "amount": total, "recorded_at": 3,
            "recorded_version": 3, "refund_due_version": due,
        }])
    } else {
        json!([])
    };
    let shortages = if *status == "REJECTED" {
        json!([{ "product_id": PRODUCT.to_string(), "requested": quantity, "available": UNITS }])
    } else {
        json!([])
    };
    json!({
        "deleted": false,
        "status": status,
        "customer_id": USER.to_string(),
        "customer_name": "Ada",
        "items": [{
            "product_id": PRODUCT.to_string(), "product_name": "Mug", "quantity": quantity,
            "unit_price": { "minor": 250, "currency": "EUR" },
        }],
        "total": total,
        "payments": payments,
        "shortages": shortages,
        "timeline": timeline,
        "created_at": 1,
        "updated_at": way.len(),
    })
}

/// What the client of an order was told, and what it saw: a snapshot of version 2, then the rest.
fn client(evidence: &mut Evidence, id: Uuid, way: &[&str]) {
    for (version, status) in (1..).zip(way) {
        let mutation = match *status {
            "PENDING" => "createOrder",
            "PAID" => "payOrder",
            "CANCELED" => "cancelOrder",
            "CONFIRMED" | "REJECTED" => continue,
            _ => "updateOrderStatus",
        };
        evidence.clients.acknowledged.push(Acknowledged {
            mutation,
            kind: Kind::Order,
            id,
            version: Some(version),
            status: Some((*status).to_owned()),
            reference: (*status == "PAID").then(|| format!("ref-{id}")),
        });
    }
    let frames: Vec<Frame> = (1..)
        .zip(way)
        .skip(1)
        .map(|(version, status)| Frame {
            version,
            previous: Some(way[version as usize - 2].to_owned()),
            status: (*status).to_owned(),
            order_version: version,
            order_status: (*status).to_owned(),
        })
        .collect();
    evidence.clients.watched.push(Watched {
        order: id,
        connections: vec![frames],
        errors: vec![],
    });
}

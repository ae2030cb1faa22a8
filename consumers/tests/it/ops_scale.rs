//! How long audit and rebuild take with many orders. Prints figures; run it by hand:
//! `ORDERS=100000 cargo test -p shop-consumers --test it ops_scale -- --ignored --nocapture`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use shop_consumers::ops::Progress;
use shop_consumers::ops::audit::audit;
use shop_consumers::ops::views::{Rebuild, rebuild};
use shop_core::db::{StoreError, outbox};
use shop_core::domain::order::{Actor, NewLine, NewPayment};
use shop_core::domain::stock::{HoldState, MovementKind, Units};
use shop_core::domain::{
    Money, Order, OrderId, OrderStatus, Product, ProductId, StockLevel, Timestamp,
};
use shop_core::events::{AggregateType, Event, EventType, Payload, StockDecision, event_id};
use shop_core::runtime::{clock, ids};
use shop_core::testkit::{eventually, setting};

use crate::ops_shop::Shop;

const PRODUCTS: usize = 1_000;
const BATCH: usize = 1_000;
const UNITS: u32 = 1_000_000;
/// As long as it takes.
const BOUND: Duration = Duration::from_mins(30);

fn event(kind: EventType, time: Timestamp, payload: Payload) -> Event {
    let mut event = Event {
        id: event_id(AggregateType::User, uuid::Uuid::nil(), 1),
        kind,
        time,
        trace: None,
        payload,
    };
    event.id = event_id(
        event.aggregate_type(),
        event.aggregate_id(),
        event.version(),
    );
    event
}

fn hex(id: uuid::Uuid) -> String {
    format!("0x{}", id.simple())
}

fn at(time: Timestamp) -> String {
    format!("FROM_UNIXTIME({})", time.millis() / 1000)
}

/// One statement per table, grown row by row.
struct Rows(Vec<(&'static str, String)>);

impl Rows {
    fn add(&mut self, table: &'static str, row: &str) {
        if let Some((_, rows)) = self.0.iter_mut().find(|(known, _)| *known == table) {
            let _ = write!(rows, ",({row})");
        } else {
            self.0.push((table, format!("({row})")));
        }
    }

    async fn save(self, shop: &Shop) {
        for (table, rows) in self.0 {
            let sql = format!("INSERT INTO {table} VALUES {rows}");
            shop.db.execute(&sql).await;
        }
    }
}

async fn announce(shop: &Shop, events: &[Event]) {
    let db = shop.db.db();
    for chunk in events.chunks(1_000) {
        db.transaction("seed", async |tx| {
            outbox::append(tx, db.encoding(), chunk).await?;
            Ok::<_, StoreError>(())
        })
        .await
        .expect("the outbox takes it");
    }
}

/// Products with a level each, of which all units came in.
async fn products(shop: &Shop, now: Timestamp) -> (Vec<Product>, Vec<StockLevel>) {
    let price = Money {
        minor: 250,
        currency: "EUR".parse().expect("a currency"),
    };
    let made = (0..PRODUCTS).map(|number| {
        let id = ProductId::from_uuid(ids::fresh());
        Product::create(id, now, &format!("Mug {number}"), "For tea", price).expect("a product")
    });
    let products: Vec<Product> = made.collect();
    let level = |product: &Product| StockLevel {
        product_id: product.id,
        on_hand: UNITS,
        reserved: 0,
        sellable: true,
        version: 1,
    };
    let levels = products.iter().map(level).collect();
    let mut rows = Rows(Vec::new());
    let time = at(now);
    for product in &products {
        let (id, name) = (hex(product.id.uuid()), &product.name);
        let row = format!("{id},1,'{name}','For tea',250,'EUR',{time},{time},NULL");
        rows.add("products", &row);
    }
    rows.save(shop).await;
    let created = |product: &Product| {
        let payload = Payload::Product(product.clone());
        event(EventType::ProductCreated, now, payload)
    };
    let events: Vec<Event> = products.iter().map(created).collect();
    announce(shop, &events).await;
    (products, levels)
}

/// The versions of one order, as its number wants it.
fn history(number: usize, mut order: Order, now: Timestamp) -> Vec<Order> {
    let mut history = vec![order.clone()];
    let mut step = |order: &mut Order, change: &dyn Fn(&mut Order)| {
        change(order);
        history.push(order.clone());
    };
    step(&mut order, &|order| order.confirm(now).expect("a step"));
    if !number.is_multiple_of(4) {
        let reference = order.id.uuid().to_string();
        step(&mut order, &|order| {
            let payment = NewPayment {
                method: "card".into(),
                reference: reference.clone(),
            };
            order.pay(now, payment).expect("a payment");
        });
    }
    match number % 4 {
        2 => {
            for to in [
                OrderStatus::Processing,
                OrderStatus::Shipped,
                OrderStatus::Delivered,
            ] {
                step(&mut order, &|order| order.advance(now, to).expect("a step"));
            }
        }
        3 => step(&mut order, &|order| {
            order
                .cancel(now, Actor::Customer, None)
                .expect("a cancellation");
        }),
        _ => {}
    }
    history
}

/// A batch of orders with all that belongs to them.
#[expect(
    clippy::too_many_lines,
    reason = "a row of each table, one after the other"
)]
async fn orders(
    shop: &Shop,
    now: Timestamp,
    first: usize,
    products: &[Product],
    levels: &mut [StockLevel],
) {
    let (mut rows, mut events) = (Rows(Vec::new()), Vec::new());
    let time = at(now);
    for number in first..first + BATCH {
        let places = [number % PRODUCTS, (number * 7 + 1) % PRODUCTS];
        let lines: Vec<NewLine> = places[..if places[0] == places[1] { 1 } else { 2 }]
            .iter()
            .map(|place| NewLine {
                product_id: products[*place].id,
                quantity: 2,
                expected_unit_price: None,
            })
            .collect();
        let id = OrderId::from_uuid(ids::fresh());
        let order = Order::place(id, now, &shop.customer, &lines, products).expect("an order");
        let history = history(number, order, now);
        let order = history.last().expect("it was placed").clone();
        let (state, second) = match order.status {
            OrderStatus::Canceled => (HoldState::Released, Some(MovementKind::Released)),
            OrderStatus::Delivered => (HoldState::Shipped, Some(MovementKind::Shipped)),
            _ => (HoldState::Held, None),
        };
        let key = hex(id.uuid());
        let Order {
            version,
            status,
            total,
            customer_id,
            ..
        } = &order;
        let awaiting = if *status == OrderStatus::Confirmed {
            "NOW(3)"
        } else {
            "NULL"
        };
        rows.add(
            "orders",
            &format!(
                "{key},{version},'{status}',{},'{}',{},'EUR',{awaiting},{time},{time},NULL",
                hex(customer_id.uuid()),
                order.customer_name,
                total.minor
            ),
        );
        let decided = 1 + u32::from(second.is_some());
        let acted = if second.is_some() { *version } else { 1 };
        rows.add(
            "stock_orders",
            &format!("{key},'{}',{decided},{acted}", state.as_str()),
        );
        for (line, item) in (1..).zip(&order.items) {
            let product = hex(item.product_id.uuid());
            let name = &item.product_name;
            rows.add(
                "order_items",
                &format!("{key},{line},{product},'{name}',250,2,NULL"),
            );
            rows.add(
                "stock_order_lines",
                &format!("{key},{line},{product},2,NULL"),
            );
            for kind in std::iter::once(MovementKind::Reserved).chain(second) {
                rows.add(
                    "stock_movements (product_id, order_id, kind, quantity, created_at)",
                    &format!("{product},{key},'{}',2,{time}", kind.as_str()),
                );
            }
            let level = levels
                .iter_mut()
                .find(|level| level.product_id == item.product_id)
                .expect("a level");
            match state {
                HoldState::Held => level.reserved += 2,
                HoldState::Shipped => level.on_hand -= 2,
                HoldState::Released | HoldState::Rejected => {}
            }
        }
        for entry in &order.timeline {
            let word = |text: Option<&str>| text.map_or("NULL".to_owned(), |t| format!("'{t}'"));
            let from = word(entry.from.map(OrderStatus::as_str));
            let (version, to, actor) = (entry.version, entry.to, entry.actor.as_str());
            let reason = word(entry.reason.as_deref());
            rows.add(
                "order_transitions",
                &format!("{key},{version},{from},'{to}',{reason},'{actor}',{time}"),
            );
        }
        for payment in &order.payments {
            let due = payment.refund_due_version;
            let (word, due) = due.map_or(("RECORDED", "NULL".to_owned()), |due| {
                ("REFUND_DUE", due.to_string())
            });
            rows.add(
                "payments (reference, order_id, method, amount_minor, currency, state, recorded_at, \
                 recorded_version, refund_due_version)",
                &format!(
                    "'{}',{key},'card',{},'EUR','{word}',{time},{},{due}",
                    payment.reference, payment.amount.minor, payment.recorded_version
                ),
            );
        }
        let units = |item: &shop_core::domain::order::OrderItem| Units {
            product_id: item.product_id,
            quantity: item.quantity,
        };
        let lines: Vec<Units> = order.items.iter().map(units).collect();
        for version in 1..=decided {
            let state = if version == 1 { HoldState::Held } else { state };
            let decision = StockDecision {
                order_id: id,
                version,
                order_version: if version == 1 { 1 } else { order.version },
                state: Some(state),
                lines: lines.clone(),
                shortages: Vec::new(),
            };
            let kind = match state {
                HoldState::Released => EventType::StockReleased,
                HoldState::Shipped => EventType::StockShipped,
                HoldState::Held | HoldState::Rejected => EventType::StockReserved,
            };
            events.push(event(kind, now, Payload::Stock(decision)));
        }
        let state = |order: Order| event(order.status.into(), now, Payload::Order(Box::new(order)));
        events.extend(history.into_iter().map(state));
    }
    rows.save(shop).await;
    announce(shop, &events).await;
}

#[ignore = "takes minutes and prints figures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_orders() {
    let count: usize = setting("ORDERS", "100000").parse().expect("a number");
    let mut shop = Shop::open().await;
    shop.assert_sound().await;
    shop.stop().await;

    let begun = Instant::now();
    // Whole seconds, as the statements write them.
    let now = Timestamp::from_millis(clock::now().millis() / 1_000 * 1_000);
    let (products, mut levels) = products(&shop, now).await;
    for first in (0..count).step_by(BATCH) {
        orders_with_stock(&shop, now, first, &products, &mut levels).await;
    }
    println!("seeded {count} orders in {:.1?}", begun.elapsed());

    let begun = Instant::now();
    shop.start_relay();
    let rows = shop.db.count("SELECT COUNT(*) FROM outbox").await;
    eventually("the outbox to be sent", BOUND, async || {
        let unsent = "SELECT COUNT(*) FROM outbox WHERE processed_at IS NULL";
        (shop.db.count(unsent).await == 0).then_some(())
    })
    .await;
    println!("{rows} outbox rows sent in {:.1?}", begun.elapsed());

    let (desk, views) = (shop.desk(), shop.views.views());
    for accept in [true, false] {
        let progress = Progress::new();
        let outcome = rebuild(&desk, views, &Rebuild { accept }, &progress).await;
        println!("rebuild: {}", outcome.expect("a generation"));
    }
    for _ in 0..2 {
        let report = audit(&desk, views, BOUND, &Progress::new()).await;
        let report = report.expect("the servers are up");
        println!(
            "audit: {:?} in {:.1?}, {} violations, {} undecided",
            report.counts,
            report.took,
            report.violations.len(),
            report.undecided.len()
        );
        assert_eq!(report.violations.first(), None);
    }
    shop.stop().await;
}

/// A batch of orders; with the last one, the stock that they leave.
async fn orders_with_stock(
    shop: &Shop,
    now: Timestamp,
    first: usize,
    products: &[Product],
    levels: &mut Vec<StockLevel>,
) {
    if first == 0 {
        let mut rows = Rows(Vec::new());
        for level in &*levels {
            let id = hex(level.product_id.uuid());
            rows.add("stock", &format!("{id},1,{UNITS},0,1"));
            let received = format!("{id},NULL,'RECEIVED',{UNITS},{}", at(now));
            rows.add(
                "stock_movements (product_id, order_id, kind, quantity, created_at)",
                &received,
            );
        }
        rows.save(shop).await;
        let changed = |level: &StockLevel| {
            event(
                EventType::StockLevelChanged,
                now,
                Payload::StockLevel(*level),
            )
        };
        let events: Vec<Event> = levels.iter().map(changed).collect();
        announce(shop, &events).await;
    }
    orders(shop, now, first, products, levels).await;
    let mut rows = Vec::new();
    for level in &mut *levels {
        level.version += 1;
        let StockLevel {
            version,
            on_hand,
            reserved,
            ..
        } = level;
        let id = hex(level.product_id.uuid());
        rows.push(format!("({id},{version},{on_hand},{reserved},1)"));
    }
    let sql = format!(
        "INSERT INTO stock VALUES {} ON DUPLICATE KEY UPDATE version = VALUES(version), \
         on_hand = VALUES(on_hand), reserved = VALUES(reserved)",
        rows.join(",")
    );
    shop.db.execute(&sql).await;
    let changed = |level: &StockLevel| {
        event(
            EventType::StockLevelChanged,
            now,
            Payload::StockLevel(*level),
        )
    };
    let events: Vec<Event> = levels.iter().map(changed).collect();
    announce(shop, &events).await;
}

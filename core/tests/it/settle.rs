//! What stock-reservation and order-saga do to batches, driven without a broker.

use std::time::Duration;

use shop_core::commands::Call;
use shop_core::commands::orders::{
    CancelOrder, Settled, StockVerdict, VerdictRecord, cancel_order, cancel_unpaid, pay_order,
    settle_verdicts,
};
use shop_core::commands::stock::{OrderRecord, settle_orders};
use shop_core::db::Db;
use shop_core::domain::order::{Actor, Shortage};
use shop_core::domain::stock::{Decision, HoldState, OrderFacts, Units};
use shop_core::domain::{EventId, Order, OrderStatus};
use shop_core::events::{Encoding, EventType};
use shop_core::runtime::settings::{MysqlSettings, Tls};
use shop_core::runtime::{clock, ids};
use shop_core::testkit::TestDb;

use crate::orders::{payment, stored};

/// What the topic `orders` would say of an order at a version.
pub fn record(order: &Order) -> OrderRecord {
    let lines = order.items.iter();
    OrderRecord {
        event_id: EventId::from_uuid(ids::fresh()),
        trace: None,
        facts: OrderFacts {
            order_id: order.id,
            order_version: order.version,
            status: order.status,
            lines: lines
                .map(|item| Units {
                    product_id: item.product_id,
                    quantity: item.quantity,
                })
                .collect(),
        },
    }
}

pub fn verdict(order: &Order, verdict: StockVerdict) -> VerdictRecord {
    let event_id = EventId::from_uuid(ids::fresh());
    VerdictRecord {
        event_id,
        trace: None,
        order_id: order.id,
        verdict,
    }
}

pub async fn settle_stock(db: &TestDb, records: &[OrderRecord]) -> Vec<Decision> {
    settle_orders(db.db(), clock::now(), "stock-reservation", records)
        .await
        .expect("settled")
}

pub async fn settle(db: &TestDb, records: &[VerdictRecord]) -> Vec<Settled> {
    settle_verdicts(db.db(), clock::now(), "order-saga", records)
        .await
        .expect("settled")
}

/// Brings a PENDING order to CONFIRMED, as the two programs do.
pub async fn reserve_and_confirm(db: &TestDb, order: &Order) {
    let decided = settle_stock(db, &[record(order)]).await;
    assert_eq!(decided, [Decision::Decided(HoldState::Held)]);
    assert_eq!(
        settle(db, &[verdict(order, StockVerdict::Reserved)]).await,
        [Settled::Changed]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_confirm_and_reject_pending_orders_once() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let good = db.order(customer.id, mug.id, 1).await;
    let bad = db.order(customer.id, mug.id, 100).await;
    db.take_outbox().await;
    let shortages = vec![Shortage {
        product_id: mug.id,
        requested: 100,
        available: 9,
    }];
    let records = [
        verdict(&good, StockVerdict::Reserved),
        verdict(&bad, StockVerdict::Rejected(shortages.clone())),
    ];
    assert_eq!(
        settle(&db, &records).await,
        [Settled::Changed, Settled::Changed]
    );
    assert_eq!(
        settle(&db, &records).await,
        [Settled::Repeat, Settled::Repeat]
    );
    let late = [
        verdict(&good, StockVerdict::Rejected(vec![])),
        verdict(&bad, StockVerdict::Reserved),
    ];
    assert_eq!(
        settle(&db, &late).await,
        [Settled::TooLate, Settled::TooLate]
    );

    assert_eq!(
        stored(db.db(), good.id).await.status,
        OrderStatus::Confirmed
    );
    let rejected = stored(db.db(), bad.id).await;
    assert_eq!(
        (rejected.status, rejected.shortages),
        (OrderStatus::Rejected, shortages)
    );
    let kinds: Vec<_> = db
        .take_outbox()
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [EventType::OrderConfirmed, EventType::OrderRejected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_verdict_twice_in_a_batch_and_one_for_no_order_do_no_harm() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let order = db.order(customer.id, mug.id, 1).await;
    let twice = verdict(&order, StockVerdict::Reserved);
    let mut ghost = verdict(&order, StockVerdict::Reserved);
    ghost.order_id = shop_core::domain::OrderId::from_uuid(ids::fresh());
    let settled = settle(&db, &[twice.clone(), ghost, twice]).await;
    assert_eq!(
        settled,
        [Settled::Changed, Settled::TooLate, Settled::TooLate]
    );
    assert_eq!(stored(db.db(), order.id).await.version, 2);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_orders_whose_payment_time_has_run_out_are_called_off() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let unpaid = db.order(customer.id, mug.id, 1).await;
    let paid = db.order(customer.id, mug.id, 1).await;
    let pending = db.order(customer.id, mug.id, 1).await;
    let canceled = db.order(customer.id, mug.id, 1).await;
    for order in [&unpaid, &paid, &canceled] {
        reserve_and_confirm(&db, order).await;
    }
    let call = Call::now(None);
    pay_order(db.db(), &call, payment(paid.id, "p-1"))
        .await
        .expect("paid");
    let cmd = CancelOrder {
        order_id: canceled.id,
        actor: Actor::Staff,
        reason: None,
    };
    cancel_order(db.db(), &call, cmd).await.expect("canceled");

    let hour = Duration::from_hours(1);
    let early = cancel_unpaid(db.db(), clock::now(), hour, 100)
        .await
        .expect("a look");
    assert_eq!(early, []);
    let due = cancel_unpaid(db.db(), clock::now(), Duration::ZERO, 100)
        .await
        .expect("a look");
    assert_eq!(due, [unpaid.id]);
    let again = cancel_unpaid(db.db(), clock::now(), Duration::ZERO, 100)
        .await
        .expect("a look");
    assert_eq!(again, []);
    let end = stored(db.db(), unpaid.id).await;
    assert_eq!(
        end.timeline
            .last()
            .and_then(|entry| entry.reason.clone())
            .as_deref(),
        Some("payment time ran out")
    );
    assert_eq!(
        stored(db.db(), pending.id).await.status,
        OrderStatus::Pending
    );
    db.take_outbox().await;
}

/// MySQL is nowhere here.
#[tokio::test]
async fn a_batch_that_asks_nothing_does_not_ask_mysql() {
    let nowhere = MysqlSettings {
        dsn: "mysql://nobody:x@127.0.0.1:1/nothing".to_owned(),
        pool_size: 1,
        timeout: Duration::from_secs(1),
        tls: Tls::Off,
    };
    let db = Db::new(&nowhere, Encoding::Json).expect("good settings");
    let verdicts = settle_verdicts(&db, clock::now(), "test", &[]).await;
    assert_eq!(verdicts.expect("nothing to ask"), []);
    let decisions = settle_orders(&db, clock::now(), "test", &[]).await;
    assert_eq!(decisions.expect("nothing to ask"), []);
}

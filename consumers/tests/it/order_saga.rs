//! order-saga, driven without a broker.

use shop_consumers::order_saga::OrderSaga;
use shop_consumers::stock_reservation::StockReservation;
use shop_core::bus::Outcome;
use shop_core::commands::orders::{CancelOrder, cancel_order};
use shop_core::domain::OrderStatus;
use shop_core::domain::order::Actor;
use shop_core::events::{Envelope, EventType, Topic};
use shop_core::runtime::Program;
use shop_core::testkit::TestDb;

use crate::roles::{Shuffle, call, handle, sent, stored, under_another_id};

/// The decisions about all orders in the outbox.
async fn decisions(db: &TestDb) -> Vec<Envelope> {
    let orders = sent(db, Topic::Orders).await;
    let reservation = db.db_as(Program::StockReservation).await;
    handle(&StockReservation::new(reservation), &orders).await;
    sent(db, Topic::Stock).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_changes_nothing_and_announces_nothing() {
    let db = TestDb::new().await;
    let saga = OrderSaga::new(db.db_as(Program::OrderSaga).await);
    let customer = db.customer().await;
    let mug = db.product(3).await;
    let good = db.order(customer.id, mug.id, 2).await;
    let short = db.order(customer.id, mug.id, 2).await;
    let batch = decisions(&db).await;
    assert_eq!(
        handle(&saga, &batch).await,
        [Outcome::Applied, Outcome::Applied]
    );
    let rejected = stored(&db, short.id).await;
    assert_eq!(
        (rejected.status, rejected.shortages[0].available),
        (OrderStatus::Rejected, 1)
    );
    let announced: Vec<_> = db
        .take_outbox()
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        announced,
        [EventType::OrderConfirmed, EventType::OrderRejected]
    );

    assert_eq!(
        handle(&saga, &batch).await,
        [Outcome::Duplicate, Outcome::Duplicate]
    );
    let republished: Vec<Envelope> = batch.iter().map(under_another_id).collect();
    assert_eq!(
        handle(&saga, &republished).await,
        [Outcome::Refused, Outcome::Refused]
    );
    assert_eq!(stored(&db, good.id).await.version, 2);
    assert!(db.take_outbox().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_comes_after_the_cancellation_changes_nothing() {
    let db = TestDb::new().await;
    let saga = OrderSaga::new(db.db_as(Program::OrderSaga).await);
    let customer = db.customer().await;
    let mug = db.product(3).await;
    let order = db.order(customer.id, mug.id, 2).await;
    let batch = decisions(&db).await;
    let cmd = CancelOrder {
        order_id: order.id,
        actor: Actor::Customer,
        reason: None,
    };
    cancel_order(db.db(), &call(), cmd).await.expect("canceled");
    db.take_outbox().await;
    assert_eq!(handle(&saga, &batch).await, [Outcome::Refused]);
    assert_eq!(stored(&db, order.id).await.status, OrderStatus::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_and_doubled_decisions_confirm_each_order_once() {
    let db = TestDb::new().await;
    let saga = OrderSaga::new(db.db_as(Program::OrderSaga).await);
    let mut shuffle = Shuffle::seeded(11);
    let customer = db.customer().await;
    let mug = db.product(100).await;
    for _ in 0..12 {
        db.order(customer.id, mug.id, 1).await;
    }
    let events = decisions(&db).await;
    let mut doubled: Vec<_> = events.iter().chain(&events).cloned().collect();
    shuffle.shuffle(&mut doubled);
    for batch in doubled.chunks(5) {
        handle(&saga, batch).await;
    }
    assert_eq!(
        db.count("SELECT COUNT(*) FROM orders WHERE status = 'CONFIRMED' AND version = 2")
            .await,
        12
    );
    let announced = db.take_outbox().await;
    assert_eq!(announced.len(), 12);
}

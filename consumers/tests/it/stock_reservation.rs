//! stock-reservation, driven without a broker.

use shop_consumers::stock_reservation::StockReservation;
use shop_core::bus::Outcome;
use shop_core::commands::orders::{CancelOrder, cancel_order};
use shop_core::domain::order::Actor;
use shop_core::events::{Envelope, EventType, Topic};
use shop_core::runtime::Program;
use shop_core::testkit::TestDb;

use crate::roles::{Shuffle, call, handle, sent, under_another_id};

const STATE: &[&str] = &["stock", "stock_orders"];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_changes_nothing_and_announces_nothing() {
    let db = TestDb::new().await;
    let role = StockReservation::new(db.db_as(Program::StockReservation).await);
    let customer = db.customer().await;
    let mug = db.product(3).await;
    for _ in 0..2 {
        db.order(customer.id, mug.id, 2).await;
    }
    let batch = sent(&db, Topic::Orders).await;
    assert_eq!(
        handle(&role, &batch).await,
        [Outcome::Applied, Outcome::Applied]
    );
    let announced: Vec<_> = db
        .take_outbox()
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        announced,
        [
            EventType::StockReserved,
            EventType::StockRejected,
            EventType::StockLevelChanged
        ]
    );

    // The crash between commit and offset, and the same state under new event ids.
    let state = db.dump(STATE).await;
    assert_eq!(
        handle(&role, &batch).await,
        [Outcome::Duplicate, Outcome::Duplicate]
    );
    let republished: Vec<Envelope> = batch.iter().map(under_another_id).collect();
    assert_eq!(
        handle(&role, &republished).await,
        [Outcome::Duplicate, Outcome::Duplicate]
    );
    assert_eq!(db.dump(STATE).await, state);
    assert!(db.take_outbox().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_canceled_before_its_hold_never_holds() {
    let db = TestDb::new().await;
    let role = StockReservation::new(db.db_as(Program::StockReservation).await);
    let customer = db.customer().await;
    let mug = db.product(3).await;
    let order = db.order(customer.id, mug.id, 2).await;
    let cmd = CancelOrder {
        order_id: order.id,
        actor: Actor::Customer,
        reason: None,
    };
    cancel_order(db.db(), &call(), cmd).await.expect("canceled");
    let mut batch = sent(&db, Topic::Orders).await;
    batch.reverse();
    assert_eq!(
        handle(&role, &batch).await,
        [Outcome::Applied, Outcome::Duplicate]
    );
    assert_eq!(db.count("SELECT reserved FROM stock").await, 0);
    assert!(db.take_outbox().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_and_doubled_events_end_in_the_stock_of_the_undisturbed_run() {
    for seed in 1..=5 {
        let db = TestDb::new().await;
        let role = StockReservation::new(db.db_as(Program::StockReservation).await);
        let mut shuffle = Shuffle::seeded(seed);
        let customer = db.customer().await;
        let mug = db.product(100).await;
        let mut canceled = 0;
        for index in 0..10 {
            let order = db.order(customer.id, mug.id, 2).await;
            if index % 3 == 0 {
                let cmd = CancelOrder {
                    order_id: order.id,
                    actor: Actor::Staff,
                    reason: None,
                };
                cancel_order(db.db(), &call(), cmd).await.expect("canceled");
                canceled += 1;
            }
        }
        let events = sent(&db, Topic::Orders).await;
        let mut doubled: Vec<_> = events.iter().chain(&events).cloned().collect();
        shuffle.shuffle(&mut doubled);
        let size = 1 + shuffle.below(6);
        for batch in doubled.chunks(size) {
            handle(&role, batch).await;
        }
        let reserved = db.count("SELECT reserved FROM stock").await;
        assert_eq!(reserved, 2 * (10 - canceled), "seed {seed}");
        assert_eq!(db.ledger_differences().await, 0, "seed {seed}");
        db.take_outbox().await;
    }
}

//! The stock of orders: all or nothing, once, whatever the order in which events arrive.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;

use shop_core::commands::Call;
use shop_core::commands::products::delete_product;
use shop_core::commands::stock::{
    AdjustStock, AdjustmentReason, OrderRecord, adjust_stock, settle_orders,
};
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::stock::{Decision, HoldState};
use shop_core::domain::{Order, OrderStatus};
use shop_core::events::EventType;
use shop_core::runtime::clock;
use shop_core::testkit::TestDb;

use crate::orders::refusal_of;
use crate::settle::{record, settle_stock};

/// The same order as a later event would show it.
fn later(order: &Order, version: u32, status: OrderStatus) -> Order {
    Order {
        version,
        status,
        ..order.clone()
    }
}

/// Shorter than a wait for a lock may be here.
const BOUND: Duration = Duration::from_secs(8);
const STATE: &[&str] = &["stock", "stock_orders", "stock_movements"];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_holds_all_its_lines_or_none_and_a_rejection_names_what_was_short() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(3).await;
    let first = db.order(customer.id, mug.id, 2).await;
    let second = db.order(customer.id, mug.id, 2).await;
    let third = db.order(customer.id, mug.id, 1).await;
    db.take_outbox().await;
    let decided = settle_stock(&db, &[record(&first), record(&second), record(&third)]).await;
    assert_eq!(
        decided,
        [HoldState::Held, HoldState::Rejected, HoldState::Held].map(Decision::Decided)
    );
    let events = db.take_outbox().await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            EventType::StockReserved,
            EventType::StockRejected,
            EventType::StockReserved,
            EventType::StockLevelChanged
        ]
    );
    let rejection = String::from_utf8(events[1].payload.clone()).expect("JSON");
    assert!(
        rejection.contains(r#""requested":2,"available":1"#),
        "{rejection}"
    );
    assert_eq!(db.count("SELECT reserved FROM stock").await, 3);
    assert_eq!(db.ledger_differences().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn canceled_orders_give_their_stock_back_and_shipped_ones_take_it_along_once() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(10).await;
    let (gone, sent) = (
        db.order(customer.id, mug.id, 2).await,
        db.order(customer.id, mug.id, 3).await,
    );
    settle_stock(&db, &[record(&gone), record(&sent)]).await;
    let canceled = record(&later(&gone, 3, OrderStatus::Canceled));
    let shipped = record(&later(&sent, 5, OrderStatus::Shipped));
    let delivered = record(&later(&sent, 6, OrderStatus::Delivered));
    let batch = [canceled, shipped, delivered];
    let decided = settle_stock(&db, &batch).await;
    assert_eq!(
        decided,
        [
            Decision::Decided(HoldState::Released),
            Decision::Decided(HoldState::Shipped),
            Decision::Nothing
        ]
    );
    let state = db.dump(STATE).await;
    assert_eq!(
        settle_stock(&db, &batch).await,
        [Decision::Repeat; 3],
        "a crash before the offsets"
    );
    assert_eq!(db.dump(STATE).await, state);
    assert_eq!(
        db.count("SELECT on_hand * 100 + reserved FROM stock").await,
        700
    );
    assert_eq!(db.ledger_differences().await, 0);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_and_doubled_events_end_in_the_same_stock_without_the_inbox() {
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % below
    };
    let db = TestDb::new().await;
    let customer = db.customer().await;
    for _ in 0..6 {
        let mug = db.product(100).await;
        let kept = db.order(customer.id, mug.id, 2).await;
        let gone = db.order(customer.id, mug.id, 3).await;
        let sent = db.order(customer.id, mug.id, 5).await;
        let mut records: Vec<OrderRecord> = [
            kept.clone(),
            later(&kept, 2, OrderStatus::Confirmed),
            gone.clone(),
            later(&gone, 2, OrderStatus::Canceled),
        ]
        .iter()
        .map(record)
        .collect();
        // An event of an order that is ahead of its hold can not be acted on: it comes after its "created".
        let mut tail = vec![record(&later(&sent, 5, OrderStatus::Shipped))];
        records.push(record(&sent));
        for index in (1..records.len()).rev() {
            records.swap(index, random(index + 1));
        }
        records.append(&mut tail);
        let doubled: Vec<OrderRecord> = records
            .iter()
            .flat_map(|r| [r.clone(), r.clone()])
            .collect();
        for chunk in doubled.chunks(1 + random(4)) {
            settle_stock(&db, chunk).await;
            // Without the inbox the state alone has to tell repeats from news.
            db.count("SELECT 1").await;
            forget_inbox(&db).await;
        }
        let hex = mug.id.uuid().simple();
        let query = format!(
            "SELECT on_hand * 1000 + reserved FROM stock WHERE product_id = UNHEX('{hex}')"
        );
        assert_eq!(db.count(&query).await, 95 * 1000 + 2);
    }
    assert_eq!(db.ledger_differences().await, 0);
    db.take_outbox().await;
}

async fn forget_inbox(db: &TestDb) {
    use diesel_async::RunQueryDsl;
    let forgotten = db.db().transaction("test", async |tx| {
        diesel::sql_query("DELETE FROM processed_events")
            .execute(tx)
            .await?;
        Ok::<_, shop_core::db::StoreError>(())
    });
    forgotten.await.expect("the inbox is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_gone_is_short_and_one_that_is_held_stays() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let (mug, cup) = (db.product(5).await, db.product(5).await);
    let held = db.order(customer.id, mug.id, 2).await;
    let late = db.order(customer.id, cup.id, 1).await;
    settle_stock(&db, &[record(&held)]).await;
    let call = Call::now(None);
    let refused = refusal_of(delete_product(db.db(), &call, mug.id).await);
    assert_eq!(refused.code(), RefusalCode::ProductHeld);
    let cmd = AdjustStock {
        product_id: mug.id,
        delta: -4,
        reason: AdjustmentReason::Correction,
    };
    assert_eq!(
        refusal_of(adjust_stock(db.db(), &call, cmd).await).code(),
        RefusalCode::StockReserved
    );
    delete_product(db.db(), &call, cup.id)
        .await
        .expect("nothing of it is held");
    let decided = settle_stock(&db, &[record(&late)]).await;
    assert_eq!(decided, [Decision::Decided(HoldState::Rejected)]);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_race_for_the_last_units_neither_oversell_nor_refuse_needlessly() {
    let db = Arc::new(TestDb::new().await);
    let customer = db.customer().await;
    let mug = db.product(20).await;
    let mut records = Vec::new();
    for _ in 0..50 {
        records.push(record(&db.order(customer.id, mug.id, 1).await));
    }
    let workers: Vec<_> = records
        .chunks(5)
        .map(|chunk| {
            let (db, chunk) = (db.clone(), chunk.to_vec());
            tokio::spawn(async move {
                settle_orders(db.db(), clock::now(), "stock-reservation", &chunk)
                    .await
                    .expect("settled")
            })
        })
        .collect();
    let mut held = 0;
    for worker in workers {
        let decisions = worker.await.expect("a worker");
        held += decisions
            .iter()
            .filter(|d| **d == Decision::Decided(HoldState::Held))
            .count();
    }
    assert_eq!(held, 20);
    assert_eq!(db.count("SELECT reserved FROM stock").await, 20);
    assert_eq!(db.ledger_differences().await, 0);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_decided_while_somebody_changes_the_product() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(3).await;
    let order = db.order(customer.id, mug.id, 2).await;
    let settings = db.settings();
    let mut editor = shop_core::db::connect(settings)
        .await
        .expect("a connection");
    editor
        .batch_execute("BEGIN; SELECT id FROM products FOR UPDATE")
        .await
        .expect("the product is locked");
    let decided = tokio::time::timeout(BOUND, async { settle_stock(&db, &[record(&order)]).await });
    let decided = decided.await.expect("nobody waits for the product's row");
    assert_eq!(decided, [Decision::Decided(HoldState::Held)]);
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_and_canceled_within_one_batch_keeps_its_lines() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(10).await;
    let order = db.order(customer.id, mug.id, 2).await;
    db.take_outbox().await;
    let canceled = later(&order, 2, OrderStatus::Canceled);
    let decided = settle_stock(&db, &[record(&order), record(&canceled)]).await;
    assert_eq!(
        decided,
        [HoldState::Held, HoldState::Released].map(Decision::Decided)
    );
    assert_eq!(db.count("SELECT COUNT(*) FROM stock_order_lines").await, 1);
    assert_eq!(db.ledger_differences().await, 0);
    db.take_outbox().await;
}

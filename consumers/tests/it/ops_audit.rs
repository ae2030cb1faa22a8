//! ops audit: planted faults are found and named, a sound shop has none, also while it is busy.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mongodb::bson::{Document, doc};
use shop_consumers::ops::audit::{Violation, repair};
use shop_core::domain::OrderStatus;

use crate::ops_shop::Shop;

fn hex(id: uuid::Uuid) -> String {
    format!("0x{}", id.simple())
}

fn bson_id(id: uuid::Uuid) -> mongodb::bson::Uuid {
    mongodb::bson::Uuid::from_bytes(id.into_bytes())
}

/// Fails unless a violation of the invariant names the subject and says so much.
fn assert_named(violations: &[Violation], invariant: u8, subject: &str, words: &str) {
    let named = violations.iter().any(|violation| {
        violation.invariant == invariant
            && violation.subject == subject
            && violation.problem.contains(words)
    });
    assert!(
        named,
        "no violation of {invariant} by {subject} with {words:?} among {violations:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_shop_has_no_violation_and_documents_that_are_wrong_are_named_and_repaired() {
    let mut shop = Shop::open().await;
    let ids = shop.some_of_everything().await;
    shop.assert_sound().await;

    let database = shop.views.database().await;
    let orders = database.collection::<Document>("orders");
    let by_id = |index: usize| doc! { "_id": bson_id(ids[index].uuid()) };
    for (index, change) in [
        (
            0,
            doc! { "$set": { "version": 1_i64, "status": "PENDING" } },
        ),
        (1, doc! { "$set": { "customer_name": "Mallory" } }),
        (2, doc! { "$set": { "version": 99_i64 } }),
    ] {
        orders
            .update_one(by_id(index), change)
            .await
            .expect("a planted fault");
    }
    orders.delete_one(by_id(3)).await.expect("a planted fault");
    let stranger = uuid::Uuid::from_u128(7);
    let users = database.collection::<Document>("users");
    let extra = doc! { "_id": bson_id(stranger), "version": 1_i64, "deleted": false };
    users.insert_one(extra).await.expect("a planted fault");

    let report = shop.audit().await;
    let found = &report.violations;
    assert!(report.undecided.is_empty(), "{report:#?}");
    assert_named(
        found,
        8,
        &ids[0].to_string(),
        "is at version 1, the row at 2",
    );
    assert_named(
        found,
        8,
        &ids[1].to_string(),
        "customer_name is \"Mallory\", not \"Ada\"",
    );
    assert_named(found, 8, &ids[2].to_string(), "is at version 99");
    assert_named(found, 8, &ids[3].to_string(), "is missing");
    assert_named(found, 8, &format!("user_{stranger}"), "no row");
    assert_eq!(found.len(), 5, "{found:#?}");

    let mut dry = shop.desk();
    dry.consent.dry_run = true;
    let left = repair(&dry, shop.views.views(), found.clone())
        .await
        .expect("a dry run");
    assert_eq!(left.len(), 5);
    let left = repair(&shop.desk(), shop.views.views(), report.violations)
        .await
        .expect("a repair");
    assert_eq!(left, []);
    shop.assert_sound().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_in_the_tables_are_named() {
    let mut shop = Shop::open().await;
    let ids = shop.some_of_everything().await;
    let (doubled, other) = (shop.db.product(7).await, shop.db.product(7).await);
    let unsent = shop.confirmed().await.id;
    shop.assert_sound().await;
    shop.stop().await;

    let mut statements = vec!["SET FOREIGN_KEY_CHECKS = 0".to_owned()];
    let mut plant = |statement: String| statements.push(statement);
    plant(format!(
        "INSERT INTO stock_movements (product_id, order_id, kind, quantity, created_at) \
         SELECT product_id, order_id, kind, quantity, created_at FROM stock_movements WHERE product_id = {}",
        hex(doubled.id.uuid())
    ));
    plant(format!(
        "UPDATE stock SET reserved = 1 WHERE product_id = {}",
        hex(other.id.uuid())
    ));
    plant(format!(
        "UPDATE orders SET status = 'SHIPPED' WHERE id = {}",
        hex(ids[0].uuid())
    ));
    plant(format!(
        "DELETE FROM stock_order_lines WHERE order_id = {}",
        hex(ids[1].uuid())
    ));
    plant(format!(
        "DELETE FROM payments WHERE order_id = {}",
        hex(ids[2].uuid())
    ));
    plant(format!(
        "DELETE FROM order_transitions WHERE version = 2 AND order_id = {}",
        hex(ids[3].uuid())
    ));
    plant(format!(
        "UPDATE stock_orders SET state = 'RELEASED' WHERE order_id = {}",
        hex(ids[4].uuid())
    ));
    plant(format!(
        "UPDATE outbox SET event_id = 0x00000000000000000000000000000001 \
         WHERE version = 2 AND aggregate_type = 'order' AND aggregate_id = {}",
        hex(unsent.uuid())
    ));
    for statement in &statements[1..] {
        shop.db
            .execute(&format!("{}; {statement}", statements[0]))
            .await;
    }
    // An event that was never written.
    shop.cancel(unsent).await;
    shop.db
        .execute(&format!(
            "DELETE FROM outbox WHERE version = 3 AND aggregate_type = 'order' AND aggregate_id = {}",
            hex(unsent.uuid())
        ))
        .await;
    shop.start();

    let found = shop.audit().await.violations;
    let product = |id: shop_core::domain::ProductId| id.to_string();
    assert_named(
        &found,
        3,
        &product(doubled.id),
        "7 on hand, the ledger adds up to 14",
    );
    assert_named(&found, 3, &product(other.id), "1 reserved, 0 held");
    assert_named(
        &found,
        1,
        &ids[0].to_string(),
        "is SHIPPED, its timeline ends with CONFIRMED",
    );
    assert_named(
        &found,
        4,
        &ids[1].to_string(),
        "asks for 1 lines, of which 0 are held",
    );
    assert_named(&found, 5, &ids[2].to_string(), "with 0 recorded payments");
    assert_named(&found, 1, &ids[3].to_string(), "has 4 entries with gaps");
    assert_named(&found, 4, &ids[4].to_string(), "its stock is RELEASED");
    assert_named(&found, 1, &unsent.to_string(), "no such record");
    assert_named(&found, 1, &unsent.to_string(), "version 3 has no event");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_there_is_no_false_alarm() {
    let mut shop = Shop::open().await;
    shop.confirmed().await;
    let (done, orders) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async {
        while !done.load(Ordering::Relaxed) {
            let order = shop.order().await;
            if orders.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                shop.cancel(order.id).await;
            }
        }
    };
    let audits = async {
        let mut audits = 0;
        while audits < 4 || orders.load(Ordering::Relaxed) <= 20 {
            shop.assert_sound().await;
            audits += 1;
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, audits);
    shop.assert_sound().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_that_is_down_has_not_done_is_undecided_and_says_whose_turn_it_is() {
    use shop_consumers::ops::Progress;
    use shop_consumers::ops::audit::audit;

    let mut shop = Shop::open().await;
    shop.db.leave_outbox();
    let order = shop.confirmed().await;
    shop.assert_sound().await;
    shop.stop().await;
    shop.cancel(order.id).await;
    let patience = std::time::Duration::from_secs(1);
    let report = audit(
        &shop.desk(),
        shop.views.views(),
        patience,
        &Progress::silent(),
    )
    .await
    .expect("the servers are up");
    assert_eq!(report.violations, []);
    assert!(
        report
            .undecided
            .iter()
            .any(|open| open.subject == order.id.to_string()),
        "{report:#?}"
    );
    assert_eq!(report.waits_for, ["1 events of the outbox are not sent"]);
    shop.start();
    shop.assert_sound().await;
    assert_eq!(
        shop.views
            .order(order.id)
            .await
            .expect("a read")
            .map(|order| order.status),
        Some(OrderStatus::Canceled)
    );
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_a_dead_letter_is_undecided_and_leads_to_the_operator() {
    let mut shop = Shop::open().await;
    let order = shop.confirmed().await;
    shop.assert_sound().await;
    shop.stop().await;
    shop.db
        .execute(&format!(
            "INSERT INTO parked_records (consumer, topic, partition_no, log_offset, record_key, headers, state, tries, parked_at) \
             VALUES ('projector', 'orders', 0, 999, '{}', '[]', 'DEAD', 5, NOW(3))",
            order.id.uuid()
        ))
        .await;
    shop.start();
    let database = shop.views.database().await;
    let by_id = doc! { "_id": bson_id(order.id.uuid()) };
    let back = doc! { "$set": { "version": 1_i64 } };
    let orders = database.collection::<Document>("orders");
    orders
        .update_one(by_id, back)
        .await
        .expect("a planted fault");
    let report = shop.audit().await;
    assert_eq!(report.violations, []);
    assert_eq!(report.undecided.len(), 1, "{report:#?}");
    assert_eq!(report.waits_for, ["1 keys are closed (ops dlq list)"]);
    shop.stop().await;
}

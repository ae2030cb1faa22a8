//! Every command, sent again.

use shop_core::commands::orders::{
    CancelOrder, UpdateOrderStatus, cancel_order, create_order, delete_order, pay_order,
    update_order_status,
};
use shop_core::commands::products::{
    UpdateProduct, create_product, delete_product, update_product,
};
use shop_core::commands::stock::{AdjustStock, AdjustmentReason, adjust_stock};
use shop_core::commands::users::{create_user, delete_user, update_user};
use shop_core::db::idempotency::Key;
use shop_core::domain::OrderStatus;
use shop_core::domain::order::Actor;
use shop_core::domain::product::ProductChange;
use shop_core::testkit::TestDb;

use super::{ada, everything, key, mug, order_of, renamed, under};
use crate::orders::payment;
use crate::settle::reserve_and_confirm;

/// Every command a client can send, each under a key of its own; what each answered. Lived again with the same keys, it
/// must answer the same and do nothing.
async fn life(db: &TestDb, keys: &[Key], again: bool) -> Vec<String> {
    let mut keys = keys.iter();
    let mut call = || under(keys.next().expect("enough keys"));
    let mut told = Vec::new();
    let mut tell = |answer: &dyn std::fmt::Debug| told.push(format!("{answer:?}"));
    let pool = db.db();

    let user = create_user(pool, &call(), ada("ada@example.org"))
        .await
        .expect("a user");
    tell(&user);
    tell(
        &update_user(pool, &call(), renamed(&user, "Ada Lovelace"))
            .await
            .expect("renamed"),
    );
    let (product, level) = create_product(pool, &call(), mug())
        .await
        .expect("a product");
    tell(&(&product, level));
    let change = ProductChange {
        name: Some("Cup".into()),
        ..ProductChange::default()
    };
    let cmd = UpdateProduct {
        id: product.id,
        change,
    };
    tell(&update_product(pool, &call(), cmd).await.expect("renamed"));
    let cmd = AdjustStock {
        product_id: product.id,
        delta: 3,
        reason: AdjustmentReason::Received,
    };
    tell(&adjust_stock(pool, &call(), cmd).await.expect("adjusted"));

    let order = create_order(pool, &call(), order_of(user.id, product.id))
        .await
        .expect("an order");
    tell(&order);
    if !again {
        reserve_and_confirm(db, &order).await;
    }
    tell(
        &pay_order(pool, &call(), payment(order.id, "p-1"))
            .await
            .expect("paid"),
    );
    for status in [
        OrderStatus::Processing,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
    ] {
        let cmd = UpdateOrderStatus {
            order_id: order.id,
            status,
        };
        tell(
            &update_order_status(pool, &call(), cmd)
                .await
                .expect("a step"),
        );
    }
    tell(
        &delete_order(pool, &call(), order.id)
            .await
            .expect("deleted"),
    );

    let other = create_order(pool, &call(), order_of(user.id, product.id))
        .await
        .expect("an order");
    let cmd = CancelOrder {
        order_id: other.id,
        actor: Actor::Customer,
        reason: Some("changed my mind".into()),
    };
    tell(&cancel_order(pool, &call(), cmd).await.expect("canceled"));
    tell(
        &pay_order(pool, &call(), payment(other.id, "p-2"))
            .await
            .expect("refund due"),
    );
    let (gone, _) = create_product(pool, &call(), mug())
        .await
        .expect("a product");
    tell(
        &delete_product(pool, &call(), gone.id)
            .await
            .expect("deleted"),
    );
    tell(&delete_user(pool, &call(), user.id).await.expect("deleted"));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_sent_again_answers_what_it_answered_and_does_nothing() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let keys: Vec<Key> = (0..20).map(|_| key()).collect();
    let told = life(&db, &keys, false).await;
    let before = everything(&db).await;
    assert!(told[12].contains("RefundDue"), "{}", told[12]);
    assert_eq!(life(&db, &keys, true).await, told);
    assert_eq!(everything(&db).await, before);
    let unanswered = "SELECT COUNT(*) FROM idempotency_keys WHERE outcome IS NULL";
    assert_eq!(db.count(unanswered).await, 0);
}

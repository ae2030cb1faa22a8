//! Changes that are meant for one version.

use shop_core::commands::Call;
use shop_core::commands::orders::{
    CancelOrder, UpdateOrderStatus, cancel_order, delete_order, pay_order, update_order_status,
};
use shop_core::commands::products::{UpdateProduct, delete_product, update_product};
use shop_core::commands::stock::{AdjustStock, AdjustmentReason, adjust_stock};
use shop_core::commands::users::{delete_user, update_user};
use shop_core::domain::order::Actor;
use shop_core::domain::product::ProductChange;
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{OrderStatus, Refusal};
use shop_core::testkit::TestDb;

use super::{everything, renamed};
use crate::orders::{payment, refusal_of};

fn expecting(version: u32) -> Call {
    Call {
        expected_version: Some(version),
        ..Call::now(None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_version_than_expected_is_refused_and_tells_the_one_there_is() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let (user, product) = (db.customer().await, db.product(5).await);
    let order = db.order(user.id, product.id, 1).await;
    let (pool, before) = (db.db(), everything(&db).await);
    let wrong = expecting(7);
    let cancel = CancelOrder {
        order_id: order.id,
        actor: Actor::Customer,
        reason: None,
    };
    let step = UpdateOrderStatus {
        order_id: order.id,
        status: OrderStatus::Processing,
    };
    let change = UpdateProduct {
        id: product.id,
        change: ProductChange::default(),
    };
    let adjust = AdjustStock {
        product_id: product.id,
        delta: 1,
        reason: AdjustmentReason::Received,
    };
    for refused in [
        refusal_of(update_user(pool, &wrong, renamed(&user, "Eve")).await),
        refusal_of(delete_user(pool, &wrong, user.id).await),
        refusal_of(update_product(pool, &wrong, change).await),
        refusal_of(delete_product(pool, &wrong, product.id).await),
        refusal_of(adjust_stock(pool, &wrong, adjust.clone()).await),
        refusal_of(pay_order(pool, &wrong, payment(order.id, "p-1")).await),
        refusal_of(cancel_order(pool, &wrong, cancel.clone()).await),
        refusal_of(update_order_status(pool, &wrong, step).await),
        refusal_of(delete_order(pool, &wrong, order.id).await),
    ] {
        assert_eq!(
            refused,
            Refusal::VersionMismatch {
                path: vec!["expectedVersion".into()],
                expected: 7,
                actual: 1
            }
        );
    }
    assert_eq!(everything(&db).await, before);

    let racers = (0..8).map(|number| {
        let (pool, cmd) = (pool.clone(), renamed(&user, &format!("Ada {number}")));
        tokio::spawn(async move { update_user(&pool, &expecting(1), cmd).await })
    });
    let mut done = 0;
    for racer in racers.collect::<Vec<_>>() {
        done += u32::from(racer.await.expect("no panic").is_ok());
    }
    assert_eq!(done, 1, "changes meant for one version");
    adjust_stock(pool, &expecting(1), adjust.clone())
        .await
        .expect("the version there is");
    let stale = refusal_of(adjust_stock(pool, &expecting(1), adjust).await);
    assert_eq!(stale.code(), RefusalCode::VersionMismatch);
    cancel_order(pool, &expecting(1), cancel)
        .await
        .expect("the version there is");
}

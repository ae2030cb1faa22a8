//! Commands that write orders, one at a time.

use shop_core::commands::orders::{
    CancelOrder, CreateOrder, PayOrder, UpdateOrderStatus, cancel_order, create_order,
    delete_order, pay_order, update_order_status,
};
use shop_core::commands::users::delete_user;
use shop_core::commands::{Call, CommandError};
use shop_core::db::{Db, StoreError, orders};
use shop_core::domain::order::{Actor, NewLine, NewPayment, PaymentOutcome};
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{Order, OrderId, OrderStatus, ProductId, Refusal, UserId};
use shop_core::testkit::TestDb;

use crate::settle::reserve_and_confirm;

fn call() -> Call {
    Call::now(None)
}

/// The refusal that a command must have answered with.
pub fn refusal_of<T: std::fmt::Debug>(result: Result<T, CommandError>) -> Refusal {
    match result {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// An order as the tables hold it.
pub async fn stored(db: &Db, id: OrderId) -> Order {
    db.transaction("test", async |tx| {
        let orders = orders::lock_many(tx, &[id]).await?;
        Ok::<_, StoreError>(orders.into_iter().next().expect("the order is there"))
    })
    .await
    .expect("a read")
}

pub fn payment(order_id: OrderId, reference: &str) -> PayOrder {
    let payment = NewPayment {
        method: "card".into(),
        reference: reference.into(),
    };
    PayOrder { order_id, payment }
}

fn step(order_id: OrderId, status: OrderStatus) -> UpdateOrderStatus {
    UpdateOrderStatus { order_id, status }
}

fn cancel(order_id: OrderId) -> CancelOrder {
    CancelOrder {
        order_id,
        actor: Actor::Customer,
        reason: Some("changed my mind".into()),
    }
}

fn line(product_id: ProductId, quantity: i64) -> NewLine {
    NewLine {
        product_id,
        quantity,
        expected_unit_price: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_reads_back_as_each_command_answered_it_and_every_version_has_one_event() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let (mug, cup) = (db.product(5).await, db.product(5).await);
    let lines = vec![line(cup.id, 2), line(mug.id, 1)];
    let cmd = CreateOrder {
        customer_id: customer.id,
        lines,
    };
    let mut order = create_order(db.db(), &call(), cmd).await.expect("created");
    assert_eq!(
        (order.total.minor, order.customer_name.as_str()),
        (750, "Ada")
    );
    assert_eq!(stored(db.db(), order.id).await, order);

    reserve_and_confirm(&db, &order).await;
    order = pay_order(db.db(), &call(), payment(order.id, "p-1"))
        .await
        .expect("paid")
        .order;
    assert_eq!(stored(db.db(), order.id).await, order);
    for status in [
        OrderStatus::Processing,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
    ] {
        order = update_order_status(db.db(), &call(), step(order.id, status))
            .await
            .expect("a step");
        assert_eq!(stored(db.db(), order.id).await, order);
    }
    order = delete_order(db.db(), &call(), order.id)
        .await
        .expect("final");
    assert_eq!(stored(db.db(), order.id).await, order);
    assert_eq!((order.version, order.customer_name.as_str()), (7, ""));

    let events = db.take_outbox().await;
    let versions: Vec<_> = events
        .iter()
        .filter(|e| e.kind.as_str().starts_with("order."))
        .map(|e| e.version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_breaks_a_rule_is_refused_by_field_and_leaves_nothing() {
    let db = TestDb::new().await;
    let customer = db.customer().await.id;
    let mug = db.product(5).await.id;
    db.take_outbox().await;
    let unknown = shop_core::runtime::ids::fresh();
    let many = (0..10_000)
        .map(|_| line(ProductId::from_uuid(unknown), 1))
        .collect();
    for (customer_id, lines, field) in [
        (customer, vec![], "lines"),
        (customer, many, "lines"),
        (customer, vec![line(mug, 0)], "lines.0.quantity"),
        (customer, vec![line(mug, -2)], "lines.0.quantity"),
        (customer, vec![line(mug, 1 << 31)], "lines.0.quantity"),
        (
            customer,
            vec![line(mug, 1), line(mug, 1)],
            "lines.1.productId",
        ),
        (
            customer,
            vec![line(ProductId::from_uuid(unknown), 1)],
            "lines.0.productId",
        ),
        (UserId::from_uuid(unknown), vec![line(mug, 1)], "onBehalfOf"),
    ] {
        let cmd = CreateOrder { customer_id, lines };
        let refused = refusal_of(create_order(db.db(), &call(), cmd).await);
        assert_eq!(refused.field_path().join("."), field);
    }
    assert_eq!(db.count("SELECT COUNT(*) FROM orders").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_twice_or_with_a_used_reference_records_nothing() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let first = db.order(customer.id, mug.id, 1).await;
    let second = db.order(customer.id, mug.id, 1).await;
    let early = pay_order(db.db(), &call(), payment(first.id, "p-1")).await;
    assert_eq!(refusal_of(early).code(), RefusalCode::IllegalTransition);
    reserve_and_confirm(&db, &first).await;
    reserve_and_confirm(&db, &second).await;
    pay_order(db.db(), &call(), payment(first.id, "p-1"))
        .await
        .expect("paid");
    db.take_outbox().await;

    let again = pay_order(db.db(), &call(), payment(first.id, "p-2")).await;
    assert_eq!(refusal_of(again).code(), RefusalCode::AlreadyPaid);
    let used = refusal_of(pay_order(db.db(), &call(), payment(second.id, "p-1")).await);
    assert_eq!(
        (used.code(), used.field_path()),
        (
            RefusalCode::PaymentReferenceUsed,
            &["reference".to_owned()][..]
        )
    );
    assert_eq!(
        stored(db.db(), second.id).await.status,
        OrderStatus::Confirmed
    );
    assert_eq!(db.count("SELECT COUNT(*) FROM payments").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_after_the_cancellation_is_recorded_as_refund_due() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let order = db.order(customer.id, mug.id, 1).await;
    reserve_and_confirm(&db, &order).await;
    pay_order(db.db(), &call(), payment(order.id, "p-1"))
        .await
        .expect("paid");
    let canceled = cancel_order(db.db(), &call(), cancel(order.id))
        .await
        .expect("canceled");
    assert_eq!(
        canceled.payments[0].refund_due_version,
        Some(canceled.version)
    );
    let late = pay_order(db.db(), &call(), payment(order.id, "p-2"))
        .await
        .expect("recorded");
    assert_eq!(late.outcome, PaymentOutcome::RefundDue);
    assert_eq!(stored(db.db(), order.id).await, late.order);
    assert_eq!(
        db.count("SELECT COUNT(*) FROM payments WHERE state = 'REFUND_DUE'")
            .await,
        2
    );
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_may_not_follow_is_refused_and_changes_nothing() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(9).await;
    let order = db.order(customer.id, mug.id, 1).await;
    reserve_and_confirm(&db, &order).await;
    pay_order(db.db(), &call(), payment(order.id, "p-1"))
        .await
        .expect("paid");
    for status in [OrderStatus::Processing, OrderStatus::Shipped] {
        update_order_status(db.db(), &call(), step(order.id, status))
            .await
            .expect("a step");
    }
    db.take_outbox().await;
    let before = stored(db.db(), order.id).await;
    let shipped = refusal_of(cancel_order(db.db(), &call(), cancel(order.id)).await);
    assert_eq!(shipped.code(), RefusalCode::IllegalTransition);
    for status in OrderStatus::ALL
        .into_iter()
        .filter(|s| *s != OrderStatus::Delivered)
    {
        let refused = update_order_status(db.db(), &call(), step(order.id, status)).await;
        assert_eq!(
            refusal_of(refused).code(),
            RefusalCode::IllegalTransition,
            "{status}"
        );
    }
    assert_eq!(
        refusal_of(delete_order(db.db(), &call(), order.id).await).code(),
        RefusalCode::OrderOpen
    );
    let unknown = OrderId::from_uuid(shop_core::runtime::ids::fresh());
    assert_eq!(
        refusal_of(cancel_order(db.db(), &call(), cancel(unknown)).await).code(),
        RefusalCode::NotFound
    );
    assert_eq!(stored(db.db(), order.id).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_cancel_and_fulfil_racing_on_one_order_end_in_one_history() {
    let db = TestDb::new().await;
    let customer = db.customer().await;
    let mug = db.product(99).await;
    for round in 0..10 {
        let order = db.order(customer.id, mug.id, 1).await;
        reserve_and_confirm(&db, &order).await;
        let reference = format!("p-{round}");
        let (paid, again, canceled) = (call(), call(), call());
        let (paid, again, canceled) = tokio::join!(
            pay_order(db.db(), &paid, payment(order.id, &reference)),
            pay_order(db.db(), &again, payment(order.id, &format!("q-{round}"))),
            cancel_order(db.db(), &canceled, cancel(order.id)),
        );
        let end = stored(db.db(), order.id).await;
        assert!(
            canceled.is_ok(),
            "PAID and CONFIRMED orders can be canceled"
        );
        assert_eq!(end.status, OrderStatus::Canceled);
        assert_eq!(end.timeline.len(), end.version as usize);
        let recorded = end
            .payments
            .iter()
            .filter(|p| p.refund_due_version.is_none())
            .count();
        assert_eq!(recorded, 0, "every payment of a canceled order is due back");
        let acknowledged = [&paid, &again]
            .into_iter()
            .filter(|result| result.is_ok())
            .count();
        assert_eq!(
            acknowledged,
            end.payments.len(),
            "no payment is lost, none is invented"
        );
    }
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_the_deletion_of_its_customer_never_both_happen() {
    let db = TestDb::new().await;
    let mug = db.product(99).await;
    for _ in 0..10 {
        let customer = db.customer().await;
        let cmd = CreateOrder {
            customer_id: customer.id,
            lines: vec![line(mug.id, 1)],
        };
        let (first, second) = (call(), call());
        let (created, deleted) = tokio::join!(
            create_order(db.db(), &first, cmd),
            delete_user(db.db(), &second, customer.id)
        );
        assert_ne!(created.is_ok(), deleted.is_ok(), "{created:?} {deleted:?}");
    }
    db.take_outbox().await;
}

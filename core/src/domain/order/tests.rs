//! Orders as they are placed, moved along, paid, canceled and deleted.

use uuid::Uuid;

use super::*;
use crate::domain::{Product, ProductId, User};

fn product(number: u128, minor: i64, currency: &str) -> Product {
    let price = Money {
        minor,
        currency: currency.parse().expect("a currency"),
    };
    let id = ProductId::from_uuid(Uuid::from_u128(number));
    Product::create(id, Timestamp::from_millis(0), "Mug", "", price).expect("a product")
}

fn line(product: &Product, quantity: i64) -> NewLine {
    NewLine {
        product_id: product.id,
        quantity,
        expected_unit_price: None,
    }
}

fn customer() -> User {
    let id = UserId::from_uuid(Uuid::from_u128(1));
    User::create(id, Timestamp::from_millis(0), "Ada", "ada@example.org").expect("a user")
}

fn order() -> Order {
    let mug = product(1, 250, "EUR");
    let id = OrderId::from_uuid(Uuid::from_u128(9));
    let lines = [line(&mug, 2)];
    Order::place(id, Timestamp::from_millis(10), &customer(), &lines, &[mug]).expect("an order")
}

fn payment(reference: &str) -> NewPayment {
    NewPayment {
        method: "card".into(),
        reference: reference.into(),
    }
}

#[test]
fn a_bad_line_is_refused_by_its_field() {
    let (mug, cup, yen) = (
        product(1, 250, "EUR"),
        product(2, 100, "EUR"),
        product(3, 9, "JPY"),
    );
    let too_many: Vec<_> = (0..10_000)
        .map(|n| line(&product(n, 1, "EUR"), 1))
        .collect();
    for (lines, field) in [
        (vec![], "lines"),
        (too_many, "lines"),
        (vec![line(&mug, 0)], "lines.0.quantity"),
        (vec![line(&mug, -2)], "lines.0.quantity"),
        (vec![line(&mug, 1 << 31)], "lines.0.quantity"),
        (
            vec![line(&mug, 1), line(&cup, 1), line(&mug, 3)],
            "lines.2.productId",
        ),
        (
            vec![line(&mug, 1), line(&product(99, 1, "EUR"), 1)],
            "lines.1.productId",
        ),
        (vec![line(&mug, 1), line(&yen, 1)], "lines.1.productId"),
    ] {
        let catalogue = [mug.clone(), cup.clone(), yen.clone()];
        let id = OrderId::from_uuid(Uuid::from_u128(9));
        let refusal = Order::place(
            id,
            Timestamp::from_millis(0),
            &customer(),
            &lines,
            &catalogue,
        )
        .expect_err(field);
        assert_eq!(refusal.field_path().join("."), field);
    }
}

#[test]
fn an_expected_price_must_be_the_catalogues() {
    let mug = product(1, 250, "EUR");
    let mut wrong = line(&mug, 1);
    wrong.expected_unit_price = Some(Money {
        minor: 249,
        ..mug.price
    });
    let id = OrderId::from_uuid(Uuid::from_u128(9));
    let refusal = Order::place(id, Timestamp::from_millis(0), &customer(), &[wrong], &[mug]);
    assert!(matches!(refusal, Err(Refusal::PriceChanged { .. })));
}

#[test]
fn payments_after_the_cancellation_are_kept_up_to_a_limit() {
    let mut order = order();
    let now = Timestamp::from_millis(20);
    order.cancel(now, Actor::Customer, None).expect("pending");
    for number in 0..ORDER_PAYMENTS {
        let outcome = order.pay(now, payment(&number.to_string()));
        assert_eq!(outcome, Ok(PaymentOutcome::RefundDue));
    }
    let kept = order.clone();
    let refused = order.pay(now, payment("one more"));
    assert!(matches!(refused, Err(Refusal::TooManyPayments { .. })));
    assert_eq!(order, kept);
}

#[test]
fn an_order_is_seen_as_it_stood_at_a_time() {
    let at = Timestamp::from_millis;
    let mut now = order(); // placed at 10
    now.confirm(at(20)).expect("pending");
    let confirmed = now.clone();
    now.pay(at(30), payment("a")).expect("confirmed");
    let paid = now.clone();
    now.cancel(at(30), Actor::Customer, None) // in the same millisecond
        .expect("not shipped");
    let canceled = now.clone();
    now.pay(at(40), payment("b")).expect("refund due");
    assert_eq!(now.at_version(3), Some(paid));
    for (time, version, expected) in [
        (at(9), 0, None),
        (at(10), 1, Some(order())),
        (at(19), 1, Some(order())),
        (at(20), 2, Some(confirmed.clone())),
        (at(29), 2, Some(confirmed)),
        (at(30), 4, Some(canceled)),
        (at(40), 5, Some(now.clone())),
        (at(i64::MAX), 5, Some(now.clone())),
    ] {
        let seen = now.at_time(time);
        assert_eq!(seen.as_ref().map_or(0, |order| order.version), version);
        assert_eq!(seen, expected);
    }
}

#[test]
fn paying_twice_is_refused_and_paying_after_a_cancellation_is_recorded_as_refund_due() {
    let now = Timestamp::from_millis(20);
    let mut paid = order();
    paid.confirm(now).expect("pending");
    assert_eq!(paid.pay(now, payment("a")), Ok(PaymentOutcome::Paid));
    let before = paid.clone();
    assert!(matches!(
        paid.pay(now, payment("b")),
        Err(Refusal::AlreadyPaid { .. })
    ));
    assert_eq!(paid, before, "a refusal changes nothing");

    paid.cancel(now, Actor::Customer, None)
        .expect("not shipped");
    assert_eq!(paid.payments[0].refund_due_version, Some(4));
    assert_eq!(paid.pay(now, payment("c")), Ok(PaymentOutcome::RefundDue));
    assert_eq!(paid.payments[1].refund_due_version, Some(5));
    assert_eq!((paid.status, paid.version), (OrderStatus::Canceled, 5));
}

#[test]
fn a_refused_step_names_the_way_that_leads_there() {
    let mut order = order();
    order.confirm(Timestamp::from_millis(20)).expect("pending");
    let refusal = order
        .advance(Timestamp::from_millis(20), OrderStatus::Paid)
        .expect_err("refused");
    assert_eq!(
        refusal.to_string(),
        "an order that is CONFIRMED can not become PAID this way: use payOrder"
    );
}

#[test]
fn every_earlier_version_can_be_told_from_the_newest() {
    let mut order = order();
    let mut states = vec![order.clone()];
    let now = Timestamp::from_millis(20);
    order.confirm(now).expect("confirm");
    states.push(order.clone());
    order
        .pay(Timestamp::from_millis(5), payment("a"))
        .expect("pay"); // a clock that went back
    states.push(order.clone());
    order
        .cancel(now, Actor::Staff, Some("lost".into()))
        .expect("cancel");
    states.push(order.clone());
    order.pay(now, payment("b")).expect("late");
    states.push(order.clone());
    for state in &states {
        assert_eq!(order.at_version(state.version).as_ref(), Some(state));
    }
    assert_eq!(order.at_version(0), None);
    assert_eq!(order.at_version(9), None);
    assert!(order.timeline.is_sorted_by_key(|entry| entry.at));
}

#[test]
fn only_final_orders_are_deleted_and_lose_their_customers_name() {
    let now = Timestamp::from_millis(20);
    let mut order = order();
    assert!(matches!(order.delete(now), Err(Refusal::OrderOpen { .. })));
    order.reject(now, vec![]).expect("reject");
    order.delete(now).expect("final");
    assert_eq!(
        (order.customer_name.as_str(), order.version, order.deleted),
        ("", 3, true)
    );
}

//! Mutations of orders: the journey, and every refusal on the way.

use serde_json::{Value, json};

use crate::documents::{
    CANCEL_ORDER, CREATE_ORDER, DELETE_ORDER, ORDER, PAY_ORDER, UPDATE_ORDER_STATUS,
};
use crate::shop::Shop;

const UNKNOWN: &str = "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";

fn payment(order: &Value, reference: &str) -> Value {
    json!({ "orderId": order, "method": "card", "reference": reference })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_from_placed_to_delivered_and_every_state_is_seen() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let seen = async || shop.data(ORDER, json!({ "id": order })).await["order"].take();
    assert_eq!(seen().await["status"], "CONFIRMED");
    assert_eq!(seen().await["nextStatuses"], json!(["PAID", "CANCELED"]));

    let paid = shop.done(PAY_ORDER, payment(&order, "r-1")).await["order"].take();
    assert_eq!(
        (&paid["status"], &paid["version"]),
        (&json!("PAID"), &json!(3))
    );
    for (version, status) in [(4, "PROCESSING"), (5, "SHIPPED"), (6, "DELIVERED")] {
        let input = json!({ "orderId": order, "status": status });
        let step = shop.done(UPDATE_ORDER_STATUS, input).await["order"].take();
        assert_eq!(
            (&step["status"], &step["version"]),
            (&json!(status), &json!(version))
        );
        shop.settle().await;
        assert_eq!(seen().await["status"], status);
    }
    let end = seen().await;
    assert_eq!(end["customer"]["name"], end["customerName"]);
    assert_eq!(
        end["total"],
        json!({ "amount": "5.00", "currencyCode": "EUR" })
    );
    assert_eq!(
        end["items"][0]["product"]["id"],
        end["items"][0]["productId"]
    );
    assert_eq!(end["items"][0]["lineTotal"], end["total"]);
    assert_eq!(
        (&end["payments"][0]["state"], &end["payments"][0]["amount"]),
        (&json!("RECORDED"), &end["total"])
    );
    let timeline = end["timeline"].as_array().expect("a list");
    let told: Vec<_> = timeline
        .iter()
        .map(|entry| (&entry["from"], &entry["to"], &entry["actor"]))
        .collect();
    let words = [
        "PENDING",
        "CONFIRMED",
        "PAID",
        "PROCESSING",
        "SHIPPED",
        "DELIVERED",
    ]
    .map(|word| json!(word));
    let actors =
        ["CUSTOMER", "SYSTEM", "CUSTOMER", "STAFF", "STAFF", "STAFF"].map(|word| json!(word));
    let before: Vec<_> = std::iter::once(Value::Null).chain(words.clone()).collect();
    let expected: Vec<_> = (0..6)
        .map(|at| (&before[at], &words[at], &actors[at]))
        .collect();
    assert_eq!(told, expected);

    assert_eq!(
        shop.done(DELETE_ORDER, json!({ "orderId": order })).await["deletedId"],
        order
    );
    shop.settle().await;
    assert!(seen().await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_is_is_rejected_and_says_what_was_short() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(3).await);
    let lines = json!([{ "productId": product, "quantity": 4 }]);
    let order = shop
        .done(
            CREATE_ORDER,
            json!({ "onBehalfOf": customer, "lines": lines }),
        )
        .await;
    assert_eq!(order["order"]["status"], "PENDING");
    shop.settle().await;
    let seen = shop
        .data(ORDER, json!({ "id": order["order"]["id"] }))
        .await["order"]
        .take();
    assert_eq!(
        (&seen["status"], &seen["nextStatuses"]),
        (&json!("REJECTED"), &json!([]))
    );
    let shortage = &seen["shortages"][0];
    assert_eq!(
        (
            &shortage["productId"],
            &shortage["requested"],
            &shortage["available"]
        ),
        (&product, &json!(4), &json!(3))
    );
    assert_eq!(shortage["product"]["id"], product);
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_twice_and_a_used_reference_are_refused() {
    let shop = Shop::open().await;
    let (first, second) = (shop.order_in(&["PAID"]).await, shop.order_in(&[]).await);
    let error = shop.refused(PAY_ORDER, payment(&first, "another")).await;
    assert_eq!(
        (&error["__typename"], &error["path"]),
        (&json!("AlreadyPaidError"), &json!(["input"]))
    );
    let used = first.as_str().expect("the reference of order_in");
    let error = shop.refused(PAY_ORDER, payment(&second, used)).await;
    assert_eq!(error["__typename"], "PaymentReferenceUsedError");
    assert_eq!(error["path"], json!(["input", "reference"]));
    let error = shop.refused(PAY_ORDER, payment(&second, " ")).await;
    assert_eq!(error["path"], json!(["input", "reference"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_before_it_is_confirmed_is_refused() {
    let shop = Shop::open().await;
    let pending = json!(shop.placed().await.id.to_string());
    let error = shop.refused(PAY_ORDER, payment(&pending, "r-1")).await;
    assert_eq!(error["__typename"], "IllegalTransitionError");
    assert_eq!(
        (&error["from"], &error["to"]),
        (&json!("PENDING"), &json!("PAID"))
    );
    assert_eq!(
        error["allowed"],
        json!(["CONFIRMED", "REJECTED", "CANCELED"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_what_was_canceled_records_the_payment_as_refund_due_and_says_so() {
    let shop = Shop::open().await;
    let canceled = shop.order_in(&["CANCELED"]).await;
    let payload = shop.payload(PAY_ORDER, payment(&canceled, "late")).await;
    assert_eq!(payload["errors"][0]["__typename"], "RefundDueError");
    assert_eq!(payload["order"]["status"], "CANCELED");
    assert_eq!(payload["order"]["payments"][0]["state"], "REFUND_DUE");
    assert_eq!(payload["order"]["payments"][0]["reference"], "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_may_not_follow_is_refused_with_what_may() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["PAID"]).await;
    for status in [
        "SHIPPED",
        "DELIVERED",
        "PENDING",
        "CONFIRMED",
        "PAID",
        "CANCELED",
        "REJECTED",
    ] {
        let error = shop
            .refused(
                UPDATE_ORDER_STATUS,
                json!({ "orderId": order, "status": status }),
            )
            .await;
        assert_eq!(error["__typename"], "IllegalTransitionError", "{status}");
        assert_eq!(
            (&error["from"], &error["to"]),
            (&json!("PAID"), &json!(status))
        );
        assert_eq!(error["allowed"], json!(["PROCESSING", "CANCELED"]));
        assert_eq!(error["path"], json!(["input", "status"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shipped_is_not_canceled_and_what_is_open_is_not_deleted() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["PAID", "PROCESSING", "SHIPPED"]).await;
    let error = shop
        .refused(
            CANCEL_ORDER,
            json!({ "orderId": order, "reason": "too late" }),
        )
        .await;
    assert_eq!(error["__typename"], "IllegalTransitionError");
    assert_eq!(
        (&error["from"], &error["allowed"]),
        (&json!("SHIPPED"), &json!(["DELIVERED"]))
    );
    let error = shop
        .refused(DELETE_ORDER, json!({ "orderId": order }))
        .await;
    assert_eq!(
        (&error["__typename"], &error["status"]),
        (&json!("OrderOpenError"), &json!("SHIPPED"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_keeps_its_reason_and_makes_the_refund_due() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["PAID"]).await;
    let error = shop
        .refused(
            CANCEL_ORDER,
            json!({ "orderId": order, "reason": "x".repeat(501) }),
        )
        .await;
    assert_eq!(error["path"], json!(["input", "reason"]));
    let input = json!({ "orderId": order, "reason": "changed my mind" });
    let canceled = shop.done(CANCEL_ORDER, input).await["order"].take();
    assert_eq!(canceled["status"], "CANCELED");
    assert_eq!(canceled["payments"][0]["state"], "REFUND_DUE");
    assert_eq!(canceled["timeline"][3]["reason"], "changed my mind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let shop = Shop::open().await;
    for (document, mut input) in [
        (PAY_ORDER, payment(&json!(UNKNOWN), "r-1")),
        (CANCEL_ORDER, json!({ "orderId": UNKNOWN })),
        (
            UPDATE_ORDER_STATUS,
            json!({ "orderId": UNKNOWN, "status": "SHIPPED" }),
        ),
        (DELETE_ORDER, json!({ "orderId": UNKNOWN })),
    ] {
        let error = shop.refused(document, input.clone()).await;
        assert_eq!(
            (&error["__typename"], &error["id"]),
            (&json!("NotFoundError"), &json!(UNKNOWN))
        );
        assert_eq!(error["path"], json!(["input", "orderId"]));
        input["orderId"] = json!("order_7");
        let error = shop.refused(document, input).await;
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("INVALID_INPUT"), &json!(["input", "orderId"]))
        );
    }
}

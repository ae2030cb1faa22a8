//! An order as it stood at some time.

use serde_json::{Value, json};

use crate::documents::{CANCEL_ORDER, ORDER, PAY_ORDER};
use crate::shop::Shop;

/// The millisecond before a time of the API's.
fn just_before(at: &Value) -> Value {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    let at = OffsetDateTime::parse(at.as_str().expect("a text"), &Rfc3339).expect("a time");
    let before = at - time::Duration::milliseconds(1);
    json!(before.format(&Rfc3339).expect("a time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_seen_as_it_stood_then() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let now = async || shop.data(ORDER, json!({ "id": order })).await["order"].take();
    let mut stood = vec![now().await];
    let payment =
        |reference: &str| json!({ "orderId": order, "method": "card", "reference": reference });
    shop.done(PAY_ORDER, payment("r-1")).await;
    shop.settle().await;
    stood.push(now().await);
    shop.done(
        CANCEL_ORDER,
        json!({ "orderId": order, "reason": "no more" }),
    )
    .await;
    shop.settle().await;
    stood.push(now().await);
    shop.payload(PAY_ORDER, payment("r-2")).await;
    shop.settle().await;
    stood.push(now().await);

    let then =
        async |at: &Value| shop.data(ORDER, json!({ "id": order, "at": at })).await["order"].take();
    for (index, state) in stood.iter().enumerate() {
        let at = &state["updatedAt"];
        let newest = stood
            .iter()
            .rfind(|other| other["updatedAt"] == *at)
            .expect("itself");
        assert_eq!(&then(at).await, newest, "as of {at}");
        if index > 0 && stood[index - 1]["updatedAt"] != *at {
            assert_eq!(then(&just_before(at)).await, stood[index - 1]);
        }
    }
    let first = then(&stood[0]["createdAt"]).await;
    assert_eq!(
        first["timeline"].as_array().map(Vec::len),
        first["version"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
    );
    assert_eq!(first["createdAt"], stood[0]["createdAt"]);
    let past = json!("2019-12-31T23:59:59+01:00");
    let error = shop.ask(ORDER, json!({ "id": order, "at": past })).await;
    assert!(error["data"]["order"].is_null());
    let extensions = &error["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "BEFORE_CREATION", "{error:#}");
    assert_eq!(extensions["retryable"], false);
    assert_eq!(extensions["createdAt"], stood[0]["createdAt"]);
    let error = shop
        .ask(
            ORDER,
            json!({ "id": order, "at": just_before(&stood[0]["createdAt"]) }),
        )
        .await;
    assert_eq!(error["errors"][0]["extensions"]["code"], "BEFORE_CREATION");
    let error = shop
        .ask(ORDER, json!({ "id": order, "at": "2999-01-01T00:00:00Z" }))
        .await;
    let extensions = &error["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "IN_THE_FUTURE", "{error:#}");
    assert_eq!(extensions["retryable"], false);
    assert!(extensions["now"].is_string());
    assert_eq!(error["errors"][0]["path"], json!(["order"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_was_not_there_either_and_what_is_no_time_is_an_error() {
    let shop = Shop::open().await;
    let unknown = "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    for at in ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let answer = shop.data(ORDER, json!({ "id": unknown, "at": at })).await;
        assert!(answer["order"].is_null());
    }
    for bad in [json!("yesterday"), json!(7), json!("2020-01-01")] {
        let error = shop.ask(ORDER, json!({ "id": unknown, "at": bad })).await;
        let code = error["errors"][0]["extensions"]["code"].as_str();
        assert!(
            matches!(code, Some("BAD_USER_INPUT" | "GRAPHQL_VALIDATION_FAILED")),
            "{error:#}"
        );
    }
}

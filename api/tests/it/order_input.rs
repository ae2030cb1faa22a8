//! What comes in with an order: lines that break a rule, prices, wrong types.

use serde_json::{Value, json};

use crate::documents::{CREATE_ORDER, UPDATE_ORDER_STATUS, UPDATE_PRODUCT};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_break_a_rule_are_refused_by_their_field() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(5).await);
    let line = |quantity: i64| json!({ "productId": product, "quantity": quantity });
    let unknown = "product_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    let crowd: Vec<_> = (0..101).map(|_| line(1)).collect();
    for (lines, code, path) in [
        (json!([]), "INVALID_INPUT", vec!["input", "lines"]),
        (json!(crowd), "INVALID_INPUT", vec!["input", "lines"]),
        (
            json!([line(0)]),
            "INVALID_INPUT",
            vec!["input", "lines", "0", "quantity"],
        ),
        (
            json!([line(-2)]),
            "INVALID_INPUT",
            vec!["input", "lines", "0", "quantity"],
        ),
        (
            json!([line(1 << 31)]),
            "INVALID_INPUT",
            vec!["input", "lines", "0", "quantity"],
        ),
        (
            json!([line(1), line(2)]),
            "INVALID_INPUT",
            vec!["input", "lines", "1", "productId"],
        ),
        (
            json!([{ "productId": "mug", "quantity": 1 }]),
            "INVALID_INPUT",
            vec!["input", "lines", "0", "productId"],
        ),
        (
            json!([{ "productId": customer, "quantity": 1 }]),
            "INVALID_INPUT",
            vec!["input", "lines", "0", "productId"],
        ),
        (
            json!([line(1), { "productId": unknown, "quantity": 1 }]),
            "NOT_FOUND",
            vec!["input", "lines", "1", "productId"],
        ),
    ] {
        let input = json!({ "onBehalfOf": customer, "lines": lines });
        let error = shop.refused(CREATE_ORDER, input).await;
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!(code), &json!(path)),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_customer_is_not_found() {
    let shop = Shop::open().await;
    let unknown = json!("user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01");
    let lines = json!([{ "productId": shop.product(5).await, "quantity": 1 }]);
    let error = shop
        .refused(
            CREATE_ORDER,
            json!({ "onBehalfOf": unknown, "lines": lines }),
        )
        .await;
    assert_eq!(
        (&error["__typename"], &error["id"]),
        (&json!("NotFoundError"), &unknown)
    );
    assert_eq!(error["path"], json!(["input", "onBehalfOf"]));
    let error = shop
        .refused(CREATE_ORDER, json!({ "onBehalfOf": "me", "lines": lines }))
        .await;
    assert_eq!(error["path"], json!(["input", "onBehalfOf"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_is_the_catalogues_and_a_client_may_only_say_what_it_expects() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(5).await);
    let input = |line: Value| json!({ "input": { "onBehalfOf": customer, "lines": [line] } });
    let priced = json!({ "productId": product, "quantity": 1, "price": { "amount": "0.01", "currencyCode": "EUR" } });
    let error = shop.invalid(CREATE_ORDER, input(priced)).await;
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("price"),
        "{error}"
    );

    let expecting = |amount: &str| {
        let price = json!({ "amount": amount, "currencyCode": "EUR" });
        json!({ "productId": product, "quantity": 1, "expectedUnitPrice": price })
    };
    let price = json!({ "amount": "3.00", "currencyCode": "EUR" });
    shop.done(UPDATE_PRODUCT, json!({ "id": product, "price": price }))
        .await;
    let error = shop
        .refused(CREATE_ORDER, input(expecting("2.50"))["input"].take())
        .await;
    assert_eq!(error["__typename"], "PriceChangedError");
    assert_eq!(
        (&error["expected"]["amount"], &error["actual"]),
        (&json!("2.50"), &price)
    );
    assert_eq!(
        error["path"],
        json!(["input", "lines", "0", "expectedUnitPrice"])
    );
    let error = shop
        .refused(CREATE_ORDER, input(expecting("2,50"))["input"].take())
        .await;
    assert_eq!(
        error["path"],
        json!(["input", "lines", "0", "expectedUnitPrice", "amount"])
    );
    let order = shop
        .done(CREATE_ORDER, input(expecting("3.00"))["input"].take())
        .await;
    assert_eq!(order["order"]["total"], price);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_or_a_missing_field_is_an_error_that_names_the_field() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(5).await);
    let order = |line: Value| json!({ "input": { "onBehalfOf": customer, "lines": [line] } });
    for (variables, named) in [
        (order(json!({ "productId": product })), "quantity"),
        (order(json!({ "quantity": 1 })), "productId"),
        (
            order(json!({ "productId": product, "quantity": null })),
            "quantity",
        ),
        (
            order(json!({ "productId": product, "quantity": "1" })),
            "quantity",
        ),
        (
            order(json!({ "productId": product, "quantity": 1.5 })),
            "quantity",
        ),
        (
            order(json!({ "productId": product, "quantity": 1e30 })),
            "quantity",
        ),
        (
            order(json!({ "productId": product, "quantity": [1] })),
            "quantity",
        ),
        (
            order(json!({ "productId": true, "quantity": 1 })),
            "productId",
        ),
        (order(json!("a mug")), "input.lines.0"),
        (json!({ "input": { "onBehalfOf": customer } }), "lines"),
        (json!({ "input": null }), "input"),
        (json!({ "input": 7 }), "\"input\""),
        (json!({}), "input"),
    ] {
        let error = shop.invalid(CREATE_ORDER, variables.clone()).await;
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(named), "{variables} -> {error}");
        let code = error["extensions"]["code"].as_str().expect("a code");
        assert!(
            ["GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"].contains(&code),
            "{error}"
        );
    }
    let variables = json!({ "input": { "orderId": "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01", "status": "LOST" } });
    let error = shop.invalid(UPDATE_ORDER_STATUS, variables).await;
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("input.status"),
        "{error}"
    );
}

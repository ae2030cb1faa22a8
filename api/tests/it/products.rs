//! Mutations of products and of their stock.

use serde_json::{Value, json};

use crate::documents::{
    ADJUST_STOCK, CREATE_ORDER, CREATE_PRODUCT, DELETE_PRODUCT, PRODUCT, UPDATE_PRODUCT,
};
use crate::shop::Shop;

fn mug() -> Value {
    json!({ "name": "Mug", "price": { "amount": "12.9", "currencyCode": "EUR" }, "stock": 5 })
}

fn with(mut input: Value, field: &str, value: Value) -> Value {
    input[field] = value;
    input
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_changed_counted_seen_and_deleted() {
    let shop = Shop::open().await;
    let product = shop.done(CREATE_PRODUCT, mug()).await["product"].take();
    let price = json!({ "amount": "12.90", "currencyCode": "EUR" });
    assert_eq!(product["price"], price);
    assert_eq!(
        product["stock"],
        json!({ "version": 1, "onHand": 5, "reserved": 0, "available": 5 })
    );

    let price = json!({ "amount": "13", "currencyCode": "EUR" });
    let input = json!({ "id": product["id"], "price": price, "description": "For tea" });
    let changed = shop.done(UPDATE_PRODUCT, input).await["product"].take();
    assert_eq!(
        (&changed["name"], &changed["version"]),
        (&json!("Mug"), &json!(2))
    );
    assert_eq!(changed["price"]["amount"], "13.00");

    let input = json!({ "productId": product["id"], "delta": -2, "reason": "CORRECTION" });
    let stock = shop.done(ADJUST_STOCK, input).await["stock"].take();
    assert_eq!(
        stock,
        json!({ "version": 2, "onHand": 3, "reserved": 0, "available": 3 })
    );

    shop.settle().await;
    let seen = shop.data(PRODUCT, json!({ "id": product["id"] })).await["product"].take();
    assert_eq!(
        (&seen["description"], &seen["stock"]),
        (&json!("For tea"), &stock)
    );

    let deleted = shop
        .done(DELETE_PRODUCT, json!({ "id": product["id"] }))
        .await;
    assert_eq!(deleted["deletedId"], product["id"]);
    shop.settle().await;
    assert!(shop.data(PRODUCT, json!({ "id": product["id"] })).await["product"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_product_that_breaks_a_rule_is_named() {
    let shop = Shop::open().await;
    let price = |amount: &str, code: &str| json!({ "amount": amount, "currencyCode": code });
    for (field, value, path) in [
        ("name", json!(""), vec!["input", "name"]),
        (
            "description",
            json!("x".repeat(5_001)),
            vec!["input", "description"],
        ),
        (
            "price",
            price("-0.01", "EUR"),
            vec!["input", "price", "amount"],
        ),
        (
            "price",
            price("1.999", "EUR"),
            vec!["input", "price", "amount"],
        ),
        (
            "price",
            price("1e3", "EUR"),
            vec!["input", "price", "amount"],
        ),
        (
            "price",
            price("1000000000.01", "EUR"),
            vec!["input", "price", "amount"],
        ),
        (
            "price",
            price("1", "XXX"),
            vec!["input", "price", "currencyCode"],
        ),
        ("stock", json!(-1), vec!["input", "stock"]),
        ("stock", json!(1_i64 << 31), vec!["input", "stock"]),
    ] {
        let error = shop
            .refused(CREATE_PRODUCT, with(mug(), field, value))
            .await;
        assert_eq!(error["__typename"], "InvalidInputError", "{error}");
        assert_eq!(error["path"], json!(path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_product_is_not_found() {
    let shop = Shop::open().await;
    let id = "product_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    let adjustment = json!({ "productId": id, "delta": 1, "reason": "RECEIVED" });
    for (document, input, field) in [
        (UPDATE_PRODUCT, json!({ "id": id }), "id"),
        (DELETE_PRODUCT, json!({ "id": id }), "id"),
        (ADJUST_STOCK, adjustment, "productId"),
    ] {
        let error = shop.refused(document, input.clone()).await;
        assert_eq!(
            (&error["__typename"], &error["id"]),
            (&json!("NotFoundError"), &json!(id))
        );
        let error = shop
            .refused(document, with(input, field, json!("mug")))
            .await;
        assert_eq!(error["__typename"], "InvalidInputError");
        assert_eq!(error["path"], json!(["input", field]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_orders_is_neither_taken_away_nor_deleted() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(5).await);
    let lines = json!([{ "productId": product, "quantity": 3 }]);
    shop.done(
        CREATE_ORDER,
        json!({ "onBehalfOf": customer, "lines": lines }),
    )
    .await;
    shop.settle().await;

    let adjust =
        |delta: i64| json!({ "productId": product, "delta": delta, "reason": "CORRECTION" });
    let error = shop.refused(ADJUST_STOCK, adjust(-3)).await;
    assert_eq!(error["__typename"], "StockReservedError");
    assert_eq!(
        (&error["onHand"], &error["reserved"], &error["available"]),
        (&json!(5), &json!(3), &json!(2))
    );
    assert_eq!(error["path"], json!(["input", "delta"]));
    for delta in [0, i64::MAX, 1_000_000_000] {
        let error = shop.refused(ADJUST_STOCK, adjust(delta)).await;
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("INVALID_INPUT"), &json!(["input", "delta"]))
        );
    }

    let error = shop.refused(DELETE_PRODUCT, json!({ "id": product })).await;
    assert_eq!(
        (&error["__typename"], &error["reserved"]),
        (&json!("ProductHeldError"), &json!(3))
    );
}

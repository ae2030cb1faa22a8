//! Mutations of users.

use serde_json::json;

use crate::documents::{CREATE_ORDER, CREATE_USER, DELETE_USER, UPDATE_USER, USER};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_created_changed_seen_and_deleted() {
    let shop = Shop::open().await;
    let input = json!({ "name": " Ada ", "email": "ada@example.org" });
    let user = shop.done(CREATE_USER, input).await["user"].take();
    assert_eq!(
        (&user["name"], &user["version"]),
        (&json!("Ada"), &json!(1))
    );

    let input = json!({ "id": user["id"], "name": "Ada Lovelace" });
    let changed = shop.done(UPDATE_USER, input).await["user"].take();
    assert_eq!(
        (&changed["name"], &changed["version"]),
        (&json!("Ada Lovelace"), &json!(2))
    );
    assert_eq!(changed["email"], "ada@example.org");

    shop.settle().await;
    let seen = shop.data(USER, json!({ "id": user["id"] })).await["user"].take();
    assert_eq!(
        (&seen["name"], &seen["version"]),
        (&json!("Ada Lovelace"), &json!(2))
    );
    assert_eq!(seen["createdAt"], user["createdAt"]);

    let deleted = shop.done(DELETE_USER, json!({ "id": user["id"] })).await;
    assert_eq!(deleted["deletedId"], user["id"]);
    shop.settle().await;
    assert!(shop.data(USER, json!({ "id": user["id"] })).await["user"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_malformed_or_taken_is_refused_by_its_field() {
    let shop = Shop::open().await;
    let ada = shop
        .done(
            CREATE_USER,
            json!({ "name": "Ada", "email": "ada@example.org" }),
        )
        .await;
    for email in [
        "",
        "ada",
        "ada@",
        "@example.org",
        "a b@example.org",
        "ada@example",
    ] {
        let error = shop
            .refused(CREATE_USER, json!({ "name": "Eve", "email": email }))
            .await;
        assert_eq!(error["__typename"], "InvalidInputError", "{email:?}");
        assert_eq!(error["code"], "INVALID_INPUT");
        assert_eq!(error["path"], json!(["input", "email"]));
    }
    let error = shop
        .refused(
            CREATE_USER,
            json!({ "name": "Eve", "email": "ADA@example.org" }),
        )
        .await;
    assert_eq!(error["__typename"], "EmailTakenError");
    assert_eq!(error["path"], json!(["input", "email"]));

    let eve = shop
        .done(
            CREATE_USER,
            json!({ "name": "Eve", "email": "eve@example.org" }),
        )
        .await;
    let input = json!({ "id": eve["user"]["id"], "email": ada["user"]["email"] });
    assert_eq!(
        shop.refused(UPDATE_USER, input).await["code"],
        "EMAIL_TAKEN"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_empty_or_too_long_is_refused_by_its_field() {
    let shop = Shop::open().await;
    for name in ["", "   ", &"x".repeat(201), "a\u{0}b"] {
        let error = shop
            .refused(
                CREATE_USER,
                json!({ "name": name, "email": "a@example.org" }),
            )
            .await;
        assert_eq!(error["path"], json!(["input", "name"]), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_not_found_and_a_malformed_id_is_invalid_input() {
    let shop = Shop::open().await;
    let unknown = "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    for document in [UPDATE_USER, DELETE_USER] {
        let error = shop.refused(document, json!({ "id": unknown })).await;
        assert_eq!(error["__typename"], "NotFoundError");
        assert_eq!(
            (&error["id"], &error["path"]),
            (&json!(unknown), &json!(["input", "id"]))
        );
        for bad in ["", "7", "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01"] {
            let error = shop.refused(document, json!({ "id": bad })).await;
            assert_eq!(error["__typename"], "InvalidInputError");
            assert_eq!(error["path"], json!(["input", "id"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_an_open_order_is_not_deleted() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(1).await);
    let lines = json!([{ "productId": product, "quantity": 1 }]);
    shop.done(
        CREATE_ORDER,
        json!({ "onBehalfOf": customer, "lines": lines }),
    )
    .await;
    let error = shop.refused(DELETE_USER, json!({ "id": customer })).await;
    assert_eq!(error["__typename"], "UserHasOpenOrdersError");
    assert_eq!(error["openOrders"], 1);
}

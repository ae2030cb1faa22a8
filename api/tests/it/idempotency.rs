//! Mutations that are sent again, and mutations that are meant for one version.

use serde_json::{Value, json};

use crate::documents::{
    ADJUST_STOCK, CANCEL_ORDER, CREATE_ORDER, CREATE_PRODUCT, CREATE_USER, DELETE_ORDER,
    DELETE_PRODUCT, DELETE_USER, PAY_ORDER, UPDATE_ORDER_STATUS, UPDATE_PRODUCT, UPDATE_USER,
};
use crate::shop::Shop;

/// A key that no other number makes.
fn key(number: usize) -> Value {
    json!(format!("01939f2e-7b1c-4def-8a34-{number:012x}"))
}

/// An input under a key.
fn under(key: &Value, mut input: Value) -> Value {
    input["idempotencyKey"] = key.clone();
    input
}

fn ada(email: &str) -> Value {
    json!({ "name": "Ada", "email": email })
}

fn mug() -> Value {
    json!({ "name": "Mug", "price": { "amount": "2.50", "currencyCode": "EUR" }, "stock": 5 })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_sent_again_answers_the_same_however_things_went_on() {
    let shop = Shop::open().await;
    let mut sent: Vec<(&str, Value, Value)> = Vec::new();
    let mutate =
        async |sent: &mut Vec<(&str, Value, Value)>, document: &'static str, input: Value| {
            let input = under(&key(sent.len()), input);
            let payload = shop.payload(document, input.clone()).await;
            sent.push((document, input, payload.clone()));
            shop.settle().await;
            payload
        };
    let user = mutate(&mut sent, CREATE_USER, ada("ada@example.org")).await["user"]["id"].take();
    let product = mutate(&mut sent, CREATE_PRODUCT, mug()).await["product"]["id"].take();
    let input = json!({ "id": user, "name": "Ada Lovelace" });
    mutate(&mut sent, UPDATE_USER, input).await;
    mutate(
        &mut sent,
        UPDATE_PRODUCT,
        json!({ "id": product, "name": "Cup" }),
    )
    .await;
    let input = json!({ "productId": product, "delta": 2, "reason": "RECEIVED" });
    mutate(&mut sent, ADJUST_STOCK, input).await;
    let lines = json!([{ "productId": product, "quantity": 1 }]);
    let input = json!({ "onBehalfOf": user, "lines": lines });
    let order = mutate(&mut sent, CREATE_ORDER, input.clone()).await["order"]["id"].take();
    let other = mutate(&mut sent, CREATE_ORDER, input).await["order"]["id"].take();
    let pay = |order: &Value| json!({ "orderId": order, "method": "card", "reference": order });
    mutate(&mut sent, PAY_ORDER, pay(&order)).await;
    for status in ["PROCESSING", "SHIPPED", "DELIVERED"] {
        let input = json!({ "orderId": order, "status": status });
        mutate(&mut sent, UPDATE_ORDER_STATUS, input).await;
    }
    mutate(&mut sent, CANCEL_ORDER, json!({ "orderId": other })).await;
    let late = mutate(&mut sent, PAY_ORDER, pay(&other)).await;
    assert_eq!(late["errors"][0]["code"], "REFUND_DUE");
    mutate(&mut sent, DELETE_ORDER, json!({ "orderId": order })).await;
    mutate(&mut sent, DELETE_PRODUCT, json!({ "id": product })).await;
    mutate(&mut sent, DELETE_USER, json!({ "id": user })).await;

    let before = shop.everything().await;
    for (document, input, answered) in &sent {
        let again = shop.payload(document, input.clone()).await;
        // What hangs off a product is as of now: its stock, where the mutation did not write it.
        assert_eq!(&again, answered, "{input}");
    }
    assert_eq!(shop.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_may_ask_for_other_fields_of_the_same_answer() {
    let shop = Shop::open().await;
    let input = under(&key(1), ada("ada@example.org"));
    let user = shop.done(CREATE_USER, input.clone()).await["user"].take();
    let rename = json!({ "id": user["id"], "name": "Eve" });
    shop.done(UPDATE_USER, rename).await;
    let document = "mutation Again($input: CreateUserInput!) { createUser(input: $input) \
                    { errors { code } user { version called: name } } }";
    let again = shop.data(document, json!({ "input": input })).await;
    let expected =
        json!({ "createUser": { "errors": [], "user": { "version": 1, "called": "Ada" } } });
    assert_eq!(again, expected);
    let spelled = json!({ "input": under(&json!(key(1).as_str().expect("a text").to_uppercase()), ada("ada@example.org")) });
    assert_eq!(shop.data(document, spelled).await, expected, "the same key");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_the_same_key_is_refused_by_its_field() {
    let shop = Shop::open().await;
    shop.done(CREATE_USER, under(&key(1), ada("ada@example.org")))
        .await;
    for (document, input) in [
        (CREATE_USER, ada("eve@example.org")),
        (CREATE_PRODUCT, mug()),
    ] {
        let error = shop.refused(document, under(&key(1), input)).await;
        assert_eq!(error["__typename"], "IdempotencyKeyReusedError");
        assert_eq!(error["code"], "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(error["path"], json!(["input", "idempotencyKey"]));
    }
    for bad in [
        json!("1"),
        json!(7),
        json!("00000000-0000-0000-0000-000000000000"),
    ] {
        let input = json!({ "input": under(&bad, ada("eve@example.org")) });
        let error = shop.invalid(CREATE_USER, input).await;
        let code = &error["extensions"]["code"];
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("input.idempotencyKey"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_meant_for_another_version_is_refused_and_tells_the_one_there_is() {
    let shop = Shop::open().await;
    let (user, product) = (shop.customer().await, shop.product(5).await);
    let order = json!(shop.placed().await.id.to_string());
    for (document, mut input) in [
        (UPDATE_USER, json!({ "id": user, "name": "Eve" })),
        (DELETE_USER, json!({ "id": user })),
        (UPDATE_PRODUCT, json!({ "id": product, "name": "Cup" })),
        (DELETE_PRODUCT, json!({ "id": product })),
        (
            ADJUST_STOCK,
            json!({ "productId": product, "delta": 1, "reason": "CORRECTION" }),
        ),
        (
            PAY_ORDER,
            json!({ "orderId": order, "method": "card", "reference": "r-1" }),
        ),
        (CANCEL_ORDER, json!({ "orderId": order })),
        (
            UPDATE_ORDER_STATUS,
            json!({ "orderId": order, "status": "PROCESSING" }),
        ),
        (DELETE_ORDER, json!({ "orderId": order })),
    ] {
        input["expectedVersion"] = json!(3);
        let error = shop.refused(document, input.clone()).await;
        assert_eq!(error["__typename"], "VersionMismatchError");
        assert_eq!(error["code"], "VERSION_MISMATCH");
        assert_eq!(error["path"], json!(["input", "expectedVersion"]));
        assert_eq!(
            (&error["expectedVersion"], &error["currentVersion"]),
            (&json!(3), &json!(1))
        );
        for bad in [json!(0), json!(-1), json!(1_i64 << 32)] {
            input["expectedVersion"] = bad;
            let error = shop.refused(document, input.clone()).await;
            assert_eq!(error["code"], "INVALID_INPUT");
            assert_eq!(error["path"], json!(["input", "expectedVersion"]));
        }
    }
    let input = json!({ "id": user, "name": "Eve", "expectedVersion": 1 });
    let renamed = shop.done(UPDATE_USER, under(&key(1), input.clone())).await;
    assert_eq!(renamed["user"]["version"], 2);
    let again = shop.done(UPDATE_USER, under(&key(1), input.clone())).await;
    assert_eq!(
        again, renamed,
        "a retry is no second change, whatever version it expects"
    );
    let other = shop.refused(UPDATE_USER, under(&key(2), input)).await;
    assert_eq!(other["currentVersion"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_in_flight_is_a_typed_refusal_that_says_when_to_come_again() {
    use shop_core::db::{StoreError, users};

    let shop = Shop::open().await;
    let user = shop.db.customer().await;
    let input = under(&key(1), json!({ "id": user.id.to_string(), "name": "Eve" }));
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (unlock, unlocked) = tokio::sync::oneshot::channel::<()>();
    let holder = tokio::spawn({
        let db = shop.db.db().clone();
        let hold = tokio::sync::Mutex::new(Some((locked, unlocked)));
        async move {
            db.transaction("test", async |tx| {
                users::lock(tx, user.id).await?;
                let (locked, unlocked) = hold.lock().await.take().expect("the first try");
                locked.send(()).expect("a listener");
                let _ = unlocked.await;
                Ok::<_, StoreError>(())
            })
            .await
        }
    });
    is_locked.await.expect("the lock");
    // Whichever comes first waits for the user, the other for it.
    let (first, second) = (
        shop.payload(UPDATE_USER, input.clone()),
        shop.payload(UPDATE_USER, input.clone()),
    );
    tokio::pin!(first, second);
    let (twin, original) = tokio::select! {
        twin = &mut first => (twin, second),
        twin = &mut second => (twin, first),
    };
    let error = &twin["errors"][0];
    assert_eq!(error["__typename"], "IdempotencyKeyInUseError", "{twin:#}");
    assert_eq!(error["code"], "IDEMPOTENCY_KEY_IN_USE");
    assert_eq!(error["path"], json!(["input", "idempotencyKey"]));
    assert!(error["retryAfterMs"].as_i64().is_some_and(|ms| ms > 0));
    unlock.send(()).expect("the holder");
    holder.await.expect("no panic").expect("a commit");
    let original = original.await;
    assert_eq!(original["user"]["version"], 2, "{original:#}");
    assert_eq!(shop.done(UPDATE_USER, input).await, original);
}

//! Queries that wait for the version that a mutation returned.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shop_core::testkit::eventually;

use crate::copies::Hubs;
use crate::documents::{
    CANCEL_ORDER, CREATE_ORDER, CREATE_PRODUCT, CREATE_USER, DELETE_ORDER, DELETE_PRODUCT,
    DELETE_USER, ORDER, PAY_ORDER, PRODUCT, UPDATE_PRODUCT, UPDATE_USER, USER,
};
use crate::shop::{Options, Roles, Shop, Statuses};

const BOUND: Duration = Duration::from_secs(30);

/// A shop whose queries do not wait for long.
async fn impatient() -> Shop {
    Shop::with(Options {
        read_your_write_timeout: Some(Duration::from_millis(300)),
        ..Options::default()
    })
    .await
}

fn wanting(id: &Value, version: &Value) -> Value {
    json!({ "id": id, "minVersion": version })
}

/// An object that a mutation answered, and how it is read: document, field, and input of the next change.
async fn written(shop: &Shop) -> Vec<(&'static str, &'static str, Value, &'static str, Value)> {
    let input = json!({ "name": "Ada", "email": "ada@example.org" });
    let user = shop.done(CREATE_USER, input).await["user"].take();
    let price = json!({ "amount": "2.50", "currencyCode": "EUR" });
    let input = json!({ "name": "Mug", "price": price, "stock": 5 });
    let product = shop.done(CREATE_PRODUCT, input).await["product"].take();
    let lines = json!([{ "productId": product["id"], "quantity": 1 }]);
    let input = json!({ "onBehalfOf": user["id"], "lines": lines });
    let order = shop.done(CREATE_ORDER, input).await["order"].take();
    let rename = |id: &Value| json!({ "id": id, "name": "Eve" });
    vec![
        (
            USER,
            "user",
            user["id"].clone(),
            UPDATE_USER,
            rename(&user["id"]),
        ),
        (
            PRODUCT,
            "product",
            product["id"].clone(),
            UPDATE_PRODUCT,
            rename(&product["id"]),
        ),
        (
            ORDER,
            "order",
            order["id"].clone(),
            CANCEL_ORDER,
            json!({ "orderId": order["id"] }),
        ),
    ]
}

fn assert_not_yet(body: &Value, field: &str, there: &Value) {
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["code"], "NOT_YET", "{body:#}");
    assert_eq!(error["extensions"]["retryable"], true);
    assert_eq!(&error["extensions"]["currentVersion"], there);
    assert!(body["data"][field].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_version_an_answer_may_be_stale_and_with_one_it_never_is() {
    let shop = impatient().await;
    let things = written(&shop).await;
    for (document, field, id, _, _) in &things {
        let blind = shop.data(document, json!({ "id": id })).await;
        assert!(blind[*field].is_null(), "the projector has seen nothing");
        let body = shop.ask(document, wanting(id, &json!(1))).await;
        assert_not_yet(&body, field, &Value::Null);
        assert_eq!(body["errors"][0]["extensions"]["minVersion"], 1);
    }
    shop.settle().await;
    for (document, field, id, change, input) in &things {
        let changed = shop.done(change, input.clone()).await[*field].take();
        let stale = shop.data(document, json!({ "id": id })).await[*field].take();
        assert!(stale["version"].as_i64() < changed["version"].as_i64());
        let body = shop.ask(document, wanting(id, &changed["version"])).await;
        assert_not_yet(&body, field, &stale["version"]);
        shop.settle().await;
        let fresh = shop.data(document, wanting(id, &changed["version"])).await;
        assert!(fresh[*field]["version"].as_i64() >= changed["version"].as_i64());
        let older = shop.data(document, wanting(id, &json!(1))).await;
        assert_eq!(older, fresh, "a lower version than there is, is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_waits_answers_as_soon_as_the_view_has_the_version() {
    let shop = Shop::open().await;
    let things = written(&shop).await;
    shop.settle().await;
    for (document, field, id, change, input) in things {
        let changed = shop.done(change, input).await[field].take();
        let query = shop.data(document, wanting(&id, &changed["version"]));
        let (answer, ()) = tokio::join!(query, async {
            if field == "order" {
                eventually("the query to register", BOUND, async || {
                    (shop.hub.watching() == 1).then_some(())
                })
                .await;
            }
            shop.settle().await;
        });
        assert!(answer[field]["version"].as_i64() >= changed["version"].as_i64());
    }
    assert_eq!(shop.hub.watching(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_waited_for_even_if_the_live_feed_says_nothing() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let nobody = Roles::new(shop.db.db(), &shop.views, Statuses::Hubs(Hubs::default()));
    let input = json!({ "orderId": order, "method": "card", "reference": "r-1" });
    let paid = shop.done(PAY_ORDER, input).await["order"].take();
    let (answer, ()) = tokio::join!(
        shop.data(ORDER, wanting(&order, &paid["version"])),
        nobody.settle(&shop.db),
    );
    assert_eq!(answer["order"]["status"], "PAID");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_null_at_once_and_what_can_not_come_is_not_waited_for() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["CANCELED"]).await;
    let (user, product) = (shop.customer().await, shop.product(1).await);
    shop.settle().await;
    shop.done(DELETE_ORDER, json!({ "orderId": order })).await;
    shop.done(DELETE_USER, json!({ "id": user })).await;
    shop.done(DELETE_PRODUCT, json!({ "id": product })).await;
    shop.settle().await;
    let begun = Instant::now();
    for (document, field, id) in [
        (ORDER, "order", &order),
        (USER, "user", &user),
        (PRODUCT, "product", &product),
    ] {
        for version in [2, 4, 99] {
            let answer = shop.data(document, wanting(id, &json!(version))).await;
            assert!(answer[field].is_null(), "{answer:#}");
        }
    }
    let answer = shop.data(ORDER, wanting(&user, &json!(1))).await;
    assert!(answer["order"].is_null(), "an id of another kind");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "something waited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_bounded_and_what_is_no_version_is_an_error() {
    let shop = impatient().await;
    let uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    for (document, field) in [(USER, "user"), (PRODUCT, "product"), (ORDER, "order")] {
        let id = json!(format!("{field}_{uuid}"));
        let begun = Instant::now();
        let body = shop.ask(document, wanting(&id, &json!(1))).await;
        assert_not_yet(&body, field, &Value::Null);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        for bad in [0, -1, 1_i64 << 32] {
            let body = shop.ask(document, wanting(&id, &json!(bad))).await;
            let error = &body["errors"][0];
            assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{body:#}");
            let message = error["message"].as_str().expect("a message");
            assert!(message.starts_with("argument minVersion: "), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_and_a_time_can_be_asked_for_together() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["PAID"]).await;
    let now = shop.data(ORDER, json!({ "id": order })).await["order"].take();
    let arguments = json!({ "id": order, "minVersion": 3, "at": now["createdAt"] });
    let then = shop.data(ORDER, arguments).await["order"].take();
    assert_eq!(then["createdAt"], now["createdAt"]);
    assert!(then["version"].as_i64() <= now["version"].as_i64());
}

//! Live levels of stock: the latest, whatever came between.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shop_api::live::feed::Feed;
use shop_core::testkit::{TestBus, eventually};

use crate::documents::{ADJUST_STOCK, CREATE_PRODUCT, DELETE_PRODUCT, STOCK_LEVEL_CHANGED};
use crate::shop::{Roles, Shop, Statuses};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(30);

async fn next(socket: &mut Socket) -> Value {
    let mut answer = socket.next("1").await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"]["stockLevelChanged"].take()
}

async fn watch(shop: &Shop, product: &Value) -> Socket {
    let mut socket = Socket::open(shop.addr).await;
    let variables = json!({ "productId": product });
    socket.subscribe("1", STOCK_LEVEL_CHANGED, variables).await;
    socket
}

async fn add(shop: &Shop, product: &Value, delta: i64) {
    let input = json!({ "productId": product, "delta": delta, "reason": "CORRECTION" });
    shop.done(ADJUST_STOCK, input).await;
}

/// A new product of which there are some, which the views have.
async fn product(shop: &Shop, units: i64) -> Value {
    let price = json!({ "amount": "2.50", "currencyCode": "EUR" });
    let input = json!({ "name": "Mug", "price": price, "stock": units });
    let payload = shop.done(CREATE_PRODUCT, input).await;
    payload["product"]["id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_the_level_as_it_is_and_then_the_latest() {
    let shop = Shop::open().await;
    let product = product(&shop, 5).await;
    let mut socket = watch(&shop, &product).await; // before the view is there
    eventually("the watcher to register", BOUND, async || {
        (shop.live.stock.watching() == 1).then_some(())
    })
    .await;
    shop.settle().await;
    let snapshot = next(&mut socket).await;
    assert_eq!(
        (
            &snapshot["kind"],
            &snapshot["productId"],
            &snapshot["stock"]["onHand"]
        ),
        (&json!("SNAPSHOT"), &product, &json!(5))
    );
    for delta in [1, 2, 3] {
        add(&shop, &product, delta).await;
    }
    shop.settle().await; // three versions in one batch
    let version = |change: &Value| change["stock"]["version"].as_i64().expect("a number");
    let latest = next(&mut socket).await;
    assert_eq!(
        (&latest["kind"], &latest["stock"]["available"]),
        (&json!("LIVE"), &json!(11))
    );
    assert_eq!(version(&latest), version(&snapshot) + 3);
    shop.done(DELETE_PRODUCT, json!({ "id": product })).await;
    shop.settle().await;
    assert_eq!(next(&mut socket).await["stock"]["available"], 0);
    drop(socket);
    eventually("the watcher to be gone", BOUND, async || {
        (shop.live.stock.watching() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_never_appears_and_what_is_none_are_refused() {
    let shop = Shop::open().await;
    let uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    for (id, code) in [
        (format!("product_{uuid}"), "NOT_FOUND"),
        (format!("order_{uuid}"), "NOT_FOUND"),
        ("7".to_owned(), "BAD_USER_INPUT"),
    ] {
        let mut socket = watch(&shop, &json!(id)).await;
        let errors = socket.refused("1").await;
        assert_eq!(errors[0]["extensions"]["code"], code, "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn levels_come_through_kafka_and_rise() {
    let shop = Shop::open().await;
    let bus = Arc::new(TestBus::new().await);
    let feed = Feed::new();
    let reading = tokio::spawn({
        let (feed, live, bus) = (feed.clone(), shop.live.clone(), Arc::clone(&bus));
        async move { feed.run(bus.settings(), &live).await }
    });
    eventually("the feed to read", BOUND, async || feed.probe().await.ok()).await;
    let statuses = Statuses::Topic(bus.producer().clone());
    let roles = Roles::new(shop.db.db(), &shop.views, statuses);
    let product = product(&shop, 5).await;
    roles.settle(&shop.db).await;
    let mut socket = watch(&shop, &product).await;
    let mut last = next(&mut socket).await;
    for delta in 1..=5 {
        add(&shop, &product, delta).await;
        roles.settle(&shop.db).await;
    }
    while last["stock"]["onHand"] != 20 {
        let change = next(&mut socket).await;
        let version = |change: &Value| change["stock"]["version"].as_i64();
        assert!(version(&change) > version(&last), "{change} after {last}");
        last = change;
    }
    reading.abort();
    let _ = reading.await;
}

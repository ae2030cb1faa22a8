//! Live status: every version, exactly once, in order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shop_api::live::feed::Feed;
use shop_core::testkit::{TestBus, eventually};

use crate::copies::Hubs;
use crate::documents::{
    CREATE_ORDER, DELETE_ORDER, ORDER_STATUS_CHANGED, PAY_ORDER, UPDATE_ORDER_STATUS,
};
use crate::shop::{Roles, Shop, Statuses};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(30);

async fn change(socket: &mut Socket) -> Value {
    let mut answer = socket.next("1").await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"]["orderStatusChanged"].take()
}

/// Pays an order and moves it to SHIPPED.
async fn ship(shop: &Shop, order: &Value) {
    let payment = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, payment).await;
    for status in ["PROCESSING", "SHIPPED"] {
        shop.done(
            UPDATE_ORDER_STATUS,
            json!({ "orderId": order, "status": status }),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_sees_the_snapshot_and_then_every_version_once() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    let first = change(&mut socket).await;
    assert_eq!(
        (&first["version"], &first["status"]),
        (&json!(2), &json!("CONFIRMED"))
    );
    assert_eq!(
        (&first["previousStatus"], &first["reason"]),
        (&json!("PENDING"), &json!("stock reserved"))
    );
    assert_eq!((&first["orderId"], &first["order"]["id"]), (&order, &order));

    ship(&shop, &order).await;
    shop.settle().await; // three versions in one batch
    for (version, status) in [(3, "PAID"), (4, "PROCESSING"), (5, "SHIPPED")] {
        let next = change(&mut socket).await;
        assert_eq!(
            (&next["version"], &next["status"]),
            (&json!(version), &json!(status))
        );
        assert_eq!(
            (&next["order"]["version"], &next["order"]["status"]),
            (&json!(version), &json!(status))
        );
        let length = next["order"]["timeline"].as_array().expect("a list").len();
        assert_eq!(length, version, "the order is as of this version");
    }
}

/// As the specification has it for several (section 5.2.3.1); of those in a fragment the library would tell nothing, and end.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_one_field_at_its_root_and_in_no_fragment() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    let field = "orderStatusChanged(orderId: 1) { version }";
    for (number, document) in [
        format!("subscription {{ a: {field} b: {field} }}"),
        format!("subscription {{ ...F }} fragment F on Subscription {{ {field} }}"),
        format!("subscription {{ ... on Subscription {{ {field} }} }}"),
        format!("subscription {{ ... @include(if: true) {{ {field} }} }}"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = number.to_string();
        socket.subscribe(&id, &document, json!({})).await;
        let errors = socket.refused(&id).await;
        let code = &errors[0]["extensions"]["code"];
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "{document}: {errors}");
        let message = errors[0]["message"].as_str().expect("a message");
        assert!(message.contains("one field at its root"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_view_is_not_there_yet_is_waited_for() {
    let shop = Shop::open().await;
    let order = json!(shop.placed().await.id.to_string());
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    eventually("the subscriber to register", BOUND, async || {
        (shop.hub.watching() == 1).then_some(())
    })
    .await;
    shop.settle().await;
    let mut versions = Vec::new();
    while versions.last() != Some(&json!(2)) {
        versions.push(change(&mut socket).await["version"].take());
    }
    assert!(
        [vec![json!(1), json!(2)], vec![json!(2)]].contains(&versions),
        "{versions:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_never_appears_is_not_found_after_a_bounded_wait() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    let unknown = "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": unknown }))
        .await;
    let errors = socket.refused("1").await;
    assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_order_ends_its_stream() {
    let shop = Shop::open().await;
    let order = shop.order_in(&["CANCELED"]).await;
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    assert_eq!(change(&mut socket).await["status"], "CANCELED");
    shop.done(DELETE_ORDER, json!({ "orderId": order })).await;
    shop.settle().await;
    socket.completed("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_that_got_lost_on_the_way_are_filled_from_the_view() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    assert_eq!(change(&mut socket).await["version"], 2);
    let nobody = Roles::new(shop.db.db(), &shop.views, Statuses::Hubs(Hubs::default()));
    ship(&shop, &order).await;
    nobody.settle(&shop.db).await; // the views are written, and nobody is told
    shop.hub.resync();
    for version in [3, 4, 5] {
        assert_eq!(change(&mut socket).await["version"], version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_subscribers_see_every_version_through_kafka_with_repeats_and_shuffles() {
    let shop = Shop::open().await;
    let bus = Arc::new(TestBus::new().await);
    let feed = Feed::new();
    let reading = tokio::spawn({
        let (feed, live, bus) = (feed.clone(), shop.live.clone(), Arc::clone(&bus));
        async move { feed.run(bus.settings(), &live).await }
    });
    eventually("the feed to read", BOUND, async || feed.probe().await.ok()).await;
    let roles = Roles::new(
        shop.db.db(),
        &shop.views,
        Statuses::Topic(bus.producer().clone()),
    );

    let (customer, product) = (shop.customer().await, shop.product(100).await);
    let lines = json!([{ "productId": product, "quantity": 2 }]);
    let mut watching = Vec::new();
    for _ in 0..4 {
        let input = json!({ "onBehalfOf": customer, "lines": lines });
        let order = shop.done(CREATE_ORDER, input).await["order"]["id"].take();
        roles.settle(&shop.db).await; // a view is waited for no longer than a few seconds
        for _ in 0..3 {
            let mut socket = Socket::open(shop.addr).await;
            socket
                .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
                .await;
            watching.push((order.clone(), socket));
        }
    }
    for (order, _) in watching.iter().step_by(3) {
        ship(&shop, order).await;
    }
    roles.settle(&shop.db).await;
    // Everything once more, oldest last: what was told is not told again.
    let mut statuses = bus.events(shop_core::events::Topic::OrderStatus).await;
    statuses.reverse();
    let again = statuses.into_iter().map(|status| {
        (
            shop_core::events::Topic::OrderStatus,
            status.event.encode(bus.settings().encoding),
        )
    });
    bus.producer()
        .send_all(again.collect())
        .await
        .expect("the repeats are sent");
    for (order, _) in watching.iter().step_by(3) {
        shop.done(
            UPDATE_ORDER_STATUS,
            json!({ "orderId": order, "status": "DELIVERED" }),
        )
        .await;
    }
    roles.settle(&shop.db).await;

    for (order, mut socket) in watching {
        let mut last = change(&mut socket).await;
        assert_eq!(last["orderId"], order);
        while last["status"] != "DELIVERED" {
            let next = change(&mut socket).await;
            let version = last["version"].as_i64().expect("a number");
            assert_eq!(next["version"], version + 1, "after {last}");
            last = next;
        }
        assert_eq!(last["version"], 6);
    }
    reading.abort();
    let _ = reading.await;
}

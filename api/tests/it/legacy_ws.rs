//! The older protocol `graphql-ws`, of `subscriptions-transport-ws`.

use serde_json::{Value, json};
use shop_core::testkit::eventually;

use crate::documents::{ORDER_STATUS_CHANGED, PAY_ORDER, USERS};
use crate::shop::Shop;
use crate::socket::{PATIENCE, Socket};

/// A connection whose handshake is done.
async fn open(shop: &Shop) -> Socket {
    let mut socket = Socket::upgrade(shop.addr, "graphql-ws")
        .await
        .expect("an upgrade");
    socket
        .send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    for kind in ["connection_ack", "ka"] {
        assert_eq!(socket.receive().await, Ok(json!({ "type": kind })));
    }
    socket
}

async fn start(socket: &mut Socket, id: &str, document: &str, variables: Value) {
    let payload = json!({ "query": document, "variables": variables, "operationName": null });
    socket
        .send(json!({ "id": id, "type": "start", "payload": payload }))
        .await;
}

/// The payload of the next message, which must be of this kind.
async fn payload(socket: &mut Socket, id: &str, kind: &str) -> Value {
    let mut message = socket.receive().await.expect("an open socket");
    assert_eq!(
        (&message["type"], &message["id"]),
        (&json!(kind), &json!(id)),
        "{message}"
    );
    message["payload"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_starts_tells_and_stops() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut socket = open(&shop).await;
    start(
        &mut socket,
        "1",
        ORDER_STATUS_CHANGED,
        json!({ "orderId": order }),
    )
    .await;
    let data = payload(&mut socket, "1", "data").await;
    assert_eq!(data["data"]["orderStatusChanged"]["version"], 2);
    let input = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, input).await;
    shop.settle().await;
    let data = payload(&mut socket, "1", "data").await;
    assert_eq!(data["data"]["orderStatusChanged"]["version"], 3);
    socket.send(json!({ "id": "1", "type": "stop" })).await;
    assert_eq!(payload(&mut socket, "1", "complete").await, json!(null));
    eventually("it to end", PATIENCE, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_one_answer_and_what_can_not_run_an_error() {
    let shop = Shop::open().await;
    let mut socket = open(&shop).await;
    start(&mut socket, "1", USERS, json!({})).await;
    let data = payload(&mut socket, "1", "data").await;
    assert_eq!(data["data"]["users"]["nodes"], json!([]));
    payload(&mut socket, "1", "complete").await;
    start(&mut socket, "2", "{ nothing }", json!({})).await;
    let error = payload(&mut socket, "2", "error").await;
    assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    socket.send(json!({ "type": "connection_terminate" })).await;
    assert_eq!(socket.closed().await, (1000, "goodbye".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_rules_and_bounds_are_those_of_the_newer_protocol() {
    let shop = Shop::open().await;
    let mut hasty = Socket::upgrade(shop.addr, "graphql-ws")
        .await
        .expect("an upgrade");
    start(&mut hasty, "1", USERS, json!({})).await;
    assert_eq!(hasty.closed().await.0, 4401);
    for (message, code) in [
        (json!({ "type": "connection_init" }), 4429),
        (
            json!({ "type": "subscribe", "id": "1", "payload": { "query": "{a}" } }),
            4400,
        ),
    ] {
        let mut socket = open(&shop).await;
        socket.send(message).await;
        assert_eq!(socket.closed().await.0, code);
    }
}

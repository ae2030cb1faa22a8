//! `graphql-transport-ws`, message by message, as its protocol document has it.

use std::time::Duration;

use serde_json::{Value, json};
use shop_core::testkit::eventually;

use crate::documents::{ORDER_STATUS_CHANGED, USERS};
use crate::shop::{Options, Shop, edge};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(20);
const PROTOCOL: &str = "graphql-transport-ws";

async fn raw(shop: &Shop) -> Socket {
    Socket::upgrade(shop.addr, PROTOCOL)
        .await
        .expect("an upgrade")
}

/// Asserts that nothing was said before the answer to a ping.
async fn is_quiet(socket: &mut Socket) {
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_is_acknowledged_and_pings_are_answered_before_and_after() {
    let shop = Shop::open().await;
    for init in [
        json!({ "type": "connection_init" }),
        json!({ "type": "connection_init", "payload": null }),
        json!({ "type": "connection_init", "payload": { "token": "x" } }),
    ] {
        let mut socket = raw(&shop).await;
        socket.send(json!({ "type": "pong" })).await; // unasked for: allowed, and not answered
        is_quiet(&mut socket).await;
        socket.send(init).await;
        let ack = json!({ "type": "connection_ack" });
        assert_eq!(socket.receive().await, Ok(ack));
        let payload = json!({ "at": 7, "of": ["x", { "y": null }] });
        socket
            .send(json!({ "type": "ping", "payload": payload }))
            .await;
        let pong = json!({ "type": "pong", "payload": payload });
        assert_eq!(socket.receive().await, Ok(pong));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_closes_with_4400_and_says_why() {
    let shop = Shop::open().await;
    for (text, why) in [
        ("", "EOF"),
        ("hello", "expected value"),
        ("[]", "invalid"),
        ("{}", "type"),
        (r#"{"type":"hello"}"#, "hello"),
        (r#"{"type":"next","id":"1","payload":{}}"#, "next"),
        (r#"{"type":"ping","payload":7}"#, "payload"),
        (r#"{"type":"complete"}"#, "id"),
        (r#"{"type":"subscribe","payload":{"query":"{a}"}}"#, "id"),
        (r#"{"type":"subscribe","id":"1","payload":{}}"#, "query"),
        (
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":7}}"#,
            "",
        ),
    ] {
        let mut socket = Socket::open(shop.addr).await;
        socket.send_text(text).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 4400, "{text}: {reason}");
        assert!(
            reason.starts_with("Invalid message: ") && reason.contains(why),
            "{text}: {reason}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_before_the_handshake_closes_with_4401() {
    let shop = Shop::open().await;
    let mut hasty = raw(&shop).await;
    hasty.subscribe("1", USERS, json!({})).await;
    assert_eq!(hasty.closed().await, (4401, "Unauthorized".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_handshake_closes_with_4429() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    socket.send(json!({ "type": "connection_init" })).await;
    let reason = "Too many initialisation requests".to_owned();
    assert_eq!(socket.closed().await, (4429, reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_closes_with_4408() {
    let mut edge = edge();
    edge.socket.init_timeout = Duration::from_secs(4);
    let shop = Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await;
    let mut shaken = Socket::open(shop.addr).await;
    let mut waiting = raw(&shop).await;
    waiting.send(json!({ "type": "ping" })).await; // no handshake
    assert_eq!(waiting.receive().await, Ok(json!({ "type": "pong" })));
    let reason = "Connection initialisation timeout".to_owned();
    assert_eq!(waiting.closed().await, (4408, reason));
    is_quiet(&mut shaken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_protocol_closes_with_4406() {
    let shop = Shop::open().await;
    let (socket, answer) = tokio_tungstenite::connect_async(format!("ws://{}/graphql", shop.addr))
        .await
        .expect("an upgrade");
    assert!(answer.headers().get("sec-websocket-protocol").is_none());
    let reason = "Subprotocol not acceptable".to_owned();
    assert_eq!(Socket::from(socket).closed().await, (4406, reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_operation_at_a_time() {
    let shop = Shop::open().await;
    let order = json!({ "orderId": shop.order_in(&[]).await });
    let mut socket = Socket::open(shop.addr).await;
    for _ in 0..3 {
        // Free again once the server has completed it.
        socket.subscribe("1", USERS, json!({})).await;
        socket.next("1").await;
        socket.completed("1").await;
    }
    for _ in 0..3 {
        // Free again once the client has.
        socket
            .subscribe("1", ORDER_STATUS_CHANGED, order.clone())
            .await;
        socket.next("1").await;
        socket.send(json!({ "id": "1", "type": "complete" })).await;
    }
    for _ in 0..3 {
        // Free again after an error.
        socket.subscribe("1", "{", json!({})).await;
        socket.refused("1").await;
    }
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, order.clone())
        .await;
    socket.next("1").await;
    socket
        .subscribe("2", ORDER_STATUS_CHANGED, order.clone())
        .await;
    socket.next("2").await;
    socket.subscribe("1", USERS, json!({})).await;
    let reason = "Subscriber for 1 already exists".to_owned();
    assert_eq!(socket.closed().await, (4409, reason));
    eventually("its operations to end", BOUND, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_completes_is_over_without_another_word() {
    let shop = Shop::open().await;
    let order = json!({ "orderId": shop.order_in(&[]).await });
    let mut socket = Socket::open(shop.addr).await;
    socket.subscribe("1", ORDER_STATUS_CHANGED, order).await;
    socket.next("1").await;
    socket.send(json!({ "id": "1", "type": "complete" })).await;
    socket.send(json!({ "id": "1", "type": "complete" })).await; // over already: ignored
    socket.send(json!({ "id": "x", "type": "complete" })).await; // never there: ignored
    eventually("it to end", BOUND, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
    is_quiet(&mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_the_last_of_an_operation() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    for (id, document) in [("1", "{"), ("2", "{ nothing }"), ("3", "{ a: user }")] {
        socket.subscribe(id, document, json!({})).await;
        let errors = socket.refused(id).await;
        let extensions = &errors[0]["extensions"];
        assert!(extensions["code"].is_string(), "{errors}");
        assert_eq!(extensions["traceId"].as_str().map(str::len), Some(32));
        is_quiet(&mut socket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_while_it_runs_has_a_result_with_errors() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    let document = r#"{ user(id: "7") { id } }"#;
    socket.subscribe("1", document, json!({})).await;
    let answer = socket.next("1").await;
    assert_eq!(answer["data"], json!({ "user": null }));
    assert_eq!(answer["errors"][0]["path"], json!(["user"]));
    socket.completed("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_back_as_they_were_sent() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    for id in ["0", " ", "\"\\\n\u{0}é🍵", &"x".repeat(256)] {
        socket.subscribe(id, "{ __typename }", json!({})).await;
        let answer = socket.next(id).await;
        assert_eq!(answer["data"], json!({ "__typename": "Query" }));
        socket.completed(id).await;
    }
    let mut named = Socket::open(shop.addr).await;
    let payload: Value = json!({
        "query": "query A { __typename } query B { users { nodes { id } } }",
        "operationName": "A",
        "variables": null,
        "extensions": { "persisted": false },
    });
    named
        .send(json!({ "id": "1", "type": "subscribe", "payload": payload }))
        .await;
    let answer = named.next("1").await;
    assert_eq!(answer["data"], json!({ "__typename": "Query" }));
}

//! A client of `graphql-transport-ws`, and what the server does with clients that do not keep to it.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use shop_core::testkit::eventually;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::documents::{CREATE_USER, ORDER_STATUS_CHANGED, USERS};
use crate::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// A connection whose handshake is done.
    pub async fn open(addr: SocketAddr) -> Self {
        let mut socket = Self::upgrade(addr, "graphql-transport-ws")
            .await
            .expect("an upgrade");
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(
            socket.receive().await,
            Ok(json!({ "type": "connection_ack" }))
        );
        socket
    }

    /// A connection without the protocol's handshake.
    pub async fn upgrade(addr: SocketAddr, protocol: &'static str) -> tungstenite::Result<Self> {
        let mut request = format!("ws://{addr}/graphql").into_client_request()?;
        request.headers_mut().insert(
            "sec-websocket-protocol",
            protocol.parse().expect("a header"),
        );
        Ok(Self(connect_async(request).await?.0))
    }

    pub async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .expect("an open socket");
    }

    pub async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await;
    }

    /// The next message; the code of the close frame if the server closes.
    pub async fn receive(&mut self) -> Result<Value, u16> {
        loop {
            let frame = timeout(PATIENCE, self.0.next())
                .await
                .expect("a message in time");
            match frame {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("a message in JSON"));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The next answer of an operation.
    pub async fn next(&mut self, id: &str) -> Value {
        let mut message = self.receive().await.expect("an open socket");
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("next"), &json!(id)),
            "{message}"
        );
        message["payload"].take()
    }

    /// Expects that an operation is over.
    pub async fn completed(&mut self, id: &str) {
        assert_eq!(
            self.receive().await,
            Ok(json!({ "id": id, "type": "complete" }))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_protocol_is_spoken() {
    let shop = Shop::open().await;
    for protocol in ["graphql-ws", "mqtt", "graphql-transport-ws2"] {
        let Err(tungstenite::Error::Http(answer)) = Socket::upgrade(shop.addr, protocol).await
        else {
            panic!("{protocol} was upgraded");
        };
        assert_eq!(answer.status().as_u16(), 400, "{protocol}");
    }
    let offered = Socket::upgrade(shop.addr, "graphql-ws, graphql-transport-ws").await;
    let mut socket = offered.expect("one of those offered is spoken");
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(
        socket.receive().await,
        Ok(json!({ "type": "connection_ack" }))
    );
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_mutations_run_over_a_socket_too() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    let input = json!({ "name": "Ada", "email": "ada@example.org" });
    socket
        .subscribe("1", CREATE_USER, json!({ "input": input }))
        .await;
    assert_eq!(
        socket.next("1").await["data"]["createUser"]["user"]["name"],
        "Ada"
    );
    socket.completed("1").await;
    shop.settle().await;
    socket.subscribe("2", USERS, json!({})).await;
    assert_eq!(
        socket.next("2").await["data"]["users"]["nodes"][0]["name"],
        "Ada"
    );
    socket.completed("2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_can_not_run_is_an_error_and_the_socket_lives_on() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    for (id, document, variables, code) in [
        ("1", "{", json!({}), "GRAPHQL_PARSE_FAILED"),
        (
            "2",
            "subscription { nothing }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("3", ORDER_STATUS_CHANGED, json!({}), "BAD_USER_INPUT"),
        (
            "4",
            ORDER_STATUS_CHANGED,
            json!({ "orderId": "7" }),
            "BAD_USER_INPUT",
        ),
        (
            "5",
            ORDER_STATUS_CHANGED,
            json!({ "orderId": "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01" }),
            "NOT_FOUND",
        ),
    ] {
        socket.subscribe(id, document, variables).await;
        let answer = socket.next(id).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], code,
            "{answer:#}"
        );
        socket.completed(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_none_closes_the_socket() {
    let shop = Shop::open().await;
    let mut socket = Socket::open(shop.addr).await;
    socket.send(json!({ "type": "hello" })).await;
    assert_eq!(socket.receive().await, Err(4400));
    let mut hasty = Socket::upgrade(shop.addr, "graphql-transport-ws")
        .await
        .expect("an upgrade");
    hasty.subscribe("1", USERS, json!({})).await;
    assert_eq!(hasty.receive().await, Err(4401));
    let mut flood = Socket::open(shop.addr).await;
    flood
        .send(json!({ "type": "ping", "payload": { "x": "x".repeat(1024 * 1024) } }))
        .await;
    assert!(
        flood.receive().await.is_err(),
        "a message over a megabyte was read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_holds_a_bounded_number_of_subscriptions_and_gives_all_of_them_up() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut socket = Socket::open(shop.addr).await;
    for number in 0..100 {
        let id = number.to_string();
        socket
            .subscribe(&id, ORDER_STATUS_CHANGED, json!({ "orderId": order }))
            .await;
        assert_eq!(
            socket.next(&id).await["data"]["orderStatusChanged"]["version"],
            2
        );
    }
    assert_eq!(shop.hub.watching(), 100);
    socket
        .subscribe("more", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    let answer = socket.next("more").await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"],
        "TOO_MANY_SUBSCRIPTIONS"
    );
    socket.completed("more").await;
    socket.send(json!({ "id": "0", "type": "complete" })).await;
    eventually("one to be given up", PATIENCE, async || {
        (shop.hub.watching() == 99).then_some(())
    })
    .await;
    drop(socket);
    eventually("all to be given up", PATIENCE, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stops_says_so_to_its_sockets_and_ends() {
    let mut shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    socket.next("1").await;
    shop.shutdown.request();
    assert_eq!(socket.receive().await, Err(1001));
    let ended = timeout(PATIENCE, &mut shop.serving)
        .await
        .expect("it ends in time");
    ended.expect("no panic").expect("no error");
    assert_eq!(shop.hub.watching(), 0);
}

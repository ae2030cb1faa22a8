//! A client of `graphql-transport-ws`, and what the server does with clients that do not keep to it.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use shop_core::testkit::eventually;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use crate::documents::{CREATE_USER, ORDER_STATUS_CHANGED, USERS};
use crate::shop::Shop;
use crate::tokens;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// A connection whose handshake is done.
    pub async fn open(addr: SocketAddr) -> Self {
        let socket = Self::upgrade(addr, "graphql-transport-ws").await;
        socket.expect("an upgrade").shaken().await
    }

    /// The same by another token, which is shown in the handshake.
    pub async fn open_as(addr: SocketAddr, token: &str) -> Self {
        let mut request = request(addr, "graphql-transport-ws");
        request.headers_mut().remove("authorization");
        let mut socket = Self(connect_async(request).await.expect("an upgrade").0);
        socket.init_with(token).await;
        assert_eq!(
            socket.receive().await,
            Ok(json!({ "type": "connection_ack" }))
        );
        socket
    }

    /// A connection whose request named nobody, without the protocol's handshake.
    pub async fn upgrade_as_nobody(addr: SocketAddr, protocol: &str) -> Self {
        let mut request = request(addr, protocol);
        request.headers_mut().remove("authorization");
        Self(connect_async(request).await.expect("an upgrade").0)
    }

    /// Shows a token: the handshake, or later a fresh one.
    pub async fn init_with(&mut self, token: &str) {
        let payload = json!({ "authorization": tokens::bearer(token) });
        self.send(json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    /// A connection without the protocol's handshake.
    pub async fn upgrade(addr: SocketAddr, protocol: &'static str) -> tungstenite::Result<Self> {
        Ok(Self(connect_async(request(addr, protocol)).await?.0))
    }

    /// A connection whose handshake is done, and whose client can leave little unread.
    pub async fn with_small_buffer(addr: SocketAddr) -> Self {
        let tcp = TcpSocket::new_v4().expect("a socket");
        tcp.set_recv_buffer_size(16 * 1024).expect("a size");
        let stream = MaybeTlsStream::Plain(tcp.connect(addr).await.expect("a connection"));
        let request = request(addr, "graphql-transport-ws");
        let upgraded = client_async(request, stream).await.expect("an upgrade");
        Self(upgraded.0).shaken().await
    }

    async fn shaken(mut self) -> Self {
        self.send(json!({ "type": "connection_init" })).await;
        assert_eq!(
            self.receive().await,
            Ok(json!({ "type": "connection_ack" }))
        );
        self
    }

    pub async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .expect("an open socket");
    }

    pub async fn send_text(&mut self, text: &str) {
        let message = Message::text(text.to_owned());
        self.0.send(message).await.expect("an open socket");
    }

    /// Whether the server took it within two seconds.
    pub async fn try_send_text(&mut self, text: &str) -> bool {
        let sending = self.0.send(Message::text(text.to_owned()));
        let sent = timeout(Duration::from_secs(2), sending).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    pub async fn send_frame(&mut self, frame: Message) {
        self.0.send(frame).await.expect("an open socket");
    }

    /// As [`Socket::send_frame`], but later, and whatever becomes of it.
    pub async fn feed_frame(&mut self, frame: Message) {
        let _ = self.0.feed(frame).await;
    }

    pub async fn flush(&mut self) {
        let _ = self.0.flush().await;
    }

    /// Sends bytes as they are, without a frame around them.
    pub async fn write_bytes(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt as _;

        self.0
            .get_mut()
            .write_all(bytes)
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

    /// The code and reason with which the server closes; what it says before is passed over.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let frame = timeout(PATIENCE, self.0.next()).await;
            match frame.expect("an end in time") {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return (1006, error.to_string()),
                None => return (1006, String::new()),
            }
        }
    }

    /// The errors with which an operation ends.
    pub async fn refused(&mut self, id: &str) -> Value {
        let mut message = self.receive().await.expect("an open socket");
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("error"), &json!(id)),
            "{message}"
        );
        message["payload"].take()
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

fn request(addr: SocketAddr, protocol: &str) -> http::Request<()> {
    let request = format!("ws://{addr}/graphql").into_client_request();
    let mut request = request.expect("an address");
    let protocol = protocol.parse().expect("a header");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol);
    let token = tokens::bearer(&tokens::admin());
    headers.insert("authorization", token.parse().expect("a header"));
    request
}

impl From<WebSocketStream<MaybeTlsStream<TcpStream>>> for Socket {
    fn from(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self(socket)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_protocols_are_spoken_and_of_those_the_first_that_is_offered() {
    let shop = Shop::open().await;
    for protocol in ["mqtt", "graphql-transport-ws2", "GRAPHQL-WS"] {
        let Err(tungstenite::Error::Http(answer)) = Socket::upgrade(shop.addr, protocol).await
        else {
            panic!("{protocol} was upgraded");
        };
        assert_eq!(answer.status().as_u16(), 400, "{protocol}");
    }
    for (offered, after_ack) in [
        ("mqtt, graphql-transport-ws, graphql-ws", "pong"),
        ("mqtt, graphql-ws, graphql-transport-ws", "ka"),
    ] {
        let socket = Socket::upgrade(shop.addr, offered).await;
        let mut socket = socket.expect("one of those offered is spoken");
        socket.send(json!({ "type": "connection_init" })).await;
        let ack = json!({ "type": "connection_ack" });
        assert_eq!(socket.receive().await, Ok(ack));
        if after_ack == "pong" {
            socket.send(json!({ "type": "ping" })).await;
        }
        assert_eq!(socket.receive().await, Ok(json!({ "type": after_ack })));
    }
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
        let errors = socket.refused(id).await;
        assert_eq!(errors[0]["extensions"]["code"], code, "{errors:#}");
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
    let errors = socket.refused("more").await;
    assert_eq!(errors[0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
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
    ended.expect("no panic");
    assert_eq!(shop.hub.watching(), 0);
}

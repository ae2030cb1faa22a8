//! Clients that send too much or read too little: each is ended or refused with a code, and nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};
use shop_core::runtime::settings::EdgeSettings;
use shop_core::testkit::eventually;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::documents::{ORDER_STATUS_CHANGED, PAY_ORDER};
use crate::shop::{Options, Shop, counted, edge};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(30);
/// `LIVE_ANSWER_BYTES` where it matters.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Somebody else, who watches an order of their own meanwhile.
struct Bystander {
    socket: Socket,
    order: Value,
}

impl Bystander {
    async fn watch(shop: &Shop) -> Self {
        let order = shop.order_in(&[]).await;
        let mut socket = Socket::open(shop.addr).await;
        let variables = json!({ "orderId": order });
        socket.subscribe("1", ORDER_STATUS_CHANGED, variables).await;
        assert_eq!(version(&socket.next("1").await), 2);
        Self { socket, order }
    }

    /// The next version comes as if nothing had happened.
    async fn goes_on(mut self, shop: &Shop) {
        let input = json!({ "orderId": self.order, "method": "card", "reference": self.order });
        shop.done(PAY_ORDER, input).await;
        shop.settle().await;
        assert_eq!(version(&self.socket.next("1").await), 3);
    }
}

fn version(answer: &Value) -> i64 {
    let version = &answer["data"]["orderStatusChanged"]["version"];
    version.as_i64().expect("a version")
}

async fn shop_with(set: impl FnOnce(&mut EdgeSettings)) -> Shop {
    let mut edge = edge();
    set(&mut edge);
    Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await
}

/// A query whose answer is about so many times 30 KB.
fn big_query(times: usize) -> String {
    let schema = "types { name description fields { name description type { name } } }";
    let fields: Vec<String> = (0..times)
        .map(|number| format!("a{number}: __schema {{ ...S }}"))
        .collect();
    format!(
        "{{ {} }} fragment S on __Schema {{ {schema} }}",
        fields.join(" ")
    )
}

fn part(text: &[u8], opcode: Data, is_last: bool) -> Message {
    Message::Frame(Frame::message(text.to_vec(), OpCode::Data(opcode), is_last))
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_frames_closes_with_a_code_for_each_kind() {
    let shop = Shop::open().await;
    let bystander = Bystander::watch(&shop).await;
    for (garbage, code) in [
        (part(b"?", Data::Reserved(3), true), 1002),
        (part(b"?", Data::Continue, true), 1002),
        (part(b"\xff\xfe", Data::Text, true), 1007),
        (part(b"\xff\xfe", Data::Binary, true), 4400),
        (part(b"\0\0\0\0", Data::Text, true), 4400),
    ] {
        let mut socket = Socket::open(shop.addr).await;
        socket.send_frame(garbage.clone()).await;
        let (closed, reason) = socket.closed().await;
        assert_eq!(closed, code, "{garbage:?}: {reason}");
        assert!(!reason.is_empty());
    }
    let mut socket = Socket::open(shop.addr).await;
    socket.write_bytes(b"GET /graphql HTTP/1.1\r\n\r\n").await;
    assert_eq!(socket.closed().await.0, 1002);
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_100_megabytes_is_refused_at_its_first_bytes() {
    let shop = Shop::open().await;
    let bystander = Bystander::watch(&shop).await;
    let mut socket = Socket::open(shop.addr).await;
    let mut head = vec![0x81, 0xff];
    head.extend(100_000_000_u64.to_be_bytes());
    head.extend([0; 4]); // the mask
    head.extend([b' '; 1_000]);
    socket.write_bytes(&head).await;
    let (code, reason) = socket.closed().await;
    assert_eq!(
        (code, reason.as_str()),
        (1009, "a message may have 131072 bytes")
    );
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_ten_thousand_fragments_is_one_message_with_the_same_bound() {
    let shop = Shop::open().await;
    let bystander = Bystander::watch(&shop).await;
    for (piece, is_small) in [(&b"  "[..], true), (&[b' '; 200][..], false)] {
        let mut socket = Socket::open(shop.addr).await;
        socket
            .feed_frame(part(b"{\"type\":\"ping\"", Data::Text, false))
            .await;
        for _ in 0..10_000 {
            socket.feed_frame(part(piece, Data::Continue, false)).await;
        }
        socket.feed_frame(part(b"}", Data::Continue, true)).await;
        socket.flush().await;
        if is_small {
            assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
        } else {
            assert_eq!(socket.closed().await.0, 1009);
        }
    }
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_allowed_close_with_1008() {
    let shop = shop_with(|edge| edge.socket.message_rate = 2).await;
    let bystander = Bystander::watch(&shop).await;
    let mut socket = Socket::open(shop.addr).await; // the first of twenty
    for _ in 0..19 {
        socket.send(json!({ "type": "ping" })).await;
        assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
    }
    for _ in 0..30 {
        socket.feed_frame(Message::Ping(Vec::new().into())).await; // frames without a message count too
    }
    socket.flush().await;
    let (code, reason) = socket.closed().await;
    assert_eq!(
        (code, reason.as_str()),
        (1008, "more than 2 messages a second")
    );
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_subscribes_as_many_begin_as_may() {
    let shop = Shop::open().await;
    let bystander = Bystander::watch(&shop).await;
    let order = shop.order_in(&[]).await;
    let mut socket = Socket::open(shop.addr).await;
    for number in 0..990 {
        let variables = json!({ "orderId": order });
        socket
            .subscribe(&number.to_string(), ORDER_STATUS_CHANGED, variables)
            .await;
    }
    let (mut begun, mut refused) = (0, 0);
    while begun + refused < 990 {
        let message = socket.receive().await.expect("an open socket");
        if message["type"] == "next" {
            begun += 1;
            continue;
        }
        let code = &message["payload"][0]["extensions"]["code"];
        assert_eq!(code, "TOO_MANY_SUBSCRIPTIONS", "{message}");
        refused += 1;
    }
    assert_eq!((begun, refused, shop.hub.watching()), (100, 890, 101));
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_holds_a_bounded_number_of_operations_and_sockets() {
    let shop = shop_with(|edge| {
        edge.subscriptions = 2;
        edge.sockets = 3;
    })
    .await;
    let bystander = Bystander::watch(&shop).await;
    let order = json!({ "orderId": shop.order_in(&[]).await });
    let (mut first, mut second) = (Socket::open(shop.addr).await, Socket::open(shop.addr).await);
    first
        .subscribe("1", ORDER_STATUS_CHANGED, order.clone())
        .await;
    first.next("1").await;
    second
        .subscribe("1", ORDER_STATUS_CHANGED, order.clone())
        .await;
    let errors = second.refused("1").await;
    assert_eq!(errors[0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) =
        Socket::upgrade(shop.addr, "graphql-transport-ws").await
    else {
        panic!("a fourth socket was opened");
    };
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    drop(first);
    eventually("the places to be free again", BOUND, async || {
        let free = Socket::upgrade(shop.addr, "graphql-transport-ws")
            .await
            .ok()?;
        drop(free);
        Some(())
    })
    .await;
    second.subscribe("2", ORDER_STATUS_CHANGED, order).await;
    second.next("2").await;
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_an_error_of_its_operation_alone() {
    let shop = shop_with(|edge| edge.answer_bytes = ANSWER_BYTES).await;
    let order = json!({ "orderId": shop.order_in(&[]).await });
    let mut socket = Socket::open(shop.addr).await;
    socket
        .subscribe("live", ORDER_STATUS_CHANGED, order.clone())
        .await;
    socket.next("live").await;
    let query = big_query(90);
    let whole = shop.post(&json!({ "query": query })).await;
    let whole = whole.text().await.expect("a text").len();
    assert!(whole > ANSWER_BYTES, "only {whole} bytes");
    socket.subscribe("big", &query, json!({})).await;
    let errors = socket.refused("big").await;
    assert_eq!(errors[0]["extensions"]["code"], "RESPONSE_TOO_LARGE");
    let message = errors[0]["message"].as_str().expect("a message");
    assert!(message.contains(&whole.to_string()), "{message}");
    let fits = big_query(20);
    socket.subscribe("fits", &fits, json!({})).await;
    assert!(socket.next("fits").await.to_string().len() > ANSWER_BYTES / 4);
    socket.completed("fits").await;
    let input = json!({ "orderId": order["orderId"], "method": "card", "reference": "r" });
    shop.done(PAY_ORDER, input).await;
    shop.settle().await;
    assert_eq!(version(&socket.next("live").await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_pings_is_given_up_with_3008() {
    let shop = shop_with(|edge| edge.socket.idle_timeout = Duration::from_secs(5)).await;
    let Bystander { mut socket, order } = Bystander::watch(&shop).await;
    let alive = tokio::spawn(async move { socket.next("1").await }); // it reads all the time, and so answers pings
    let mut gone = Bystander::watch(&shop).await.socket;
    eventually("the silent one to be given up", BOUND, async || {
        (shop.hub.watching() == 1).then_some(())
    })
    .await;
    let (code, reason) = gone.closed().await;
    assert_eq!((code, reason.as_str()), (3008, "no sign of life"));
    let input = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, input).await;
    shop.settle().await;
    assert_eq!(version(&alive.await.expect("an answer")), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_held_in_bounds_and_closed_with_1013() {
    let shop = shop_with(|edge| {
        edge.socket.write_timeout = Duration::from_secs(5);
        edge.socket.queue_bytes = 64 * 1024;
        edge.socket.message_bytes = 1024 * 1024;
    })
    .await;
    let bystander = Bystander::watch(&shop).await;
    let order = json!({ "orderId": shop.order_in(&[]).await });
    let mut greedy = Socket::with_small_buffer(shop.addr).await;
    greedy.subscribe("1", ORDER_STATUS_CHANGED, order).await;
    greedy.next("1").await;
    assert_eq!(shop.hub.watching(), 2);
    // Each ping is answered with what it holds: more in all than buffers between the two can take.
    let ping = json!({ "type": "ping", "payload": { "x": "x".repeat(900_000) } }).to_string();
    let mut sent = 0;
    while sent < 12 && greedy.try_send_text(&ping).await {
        sent += 1;
    }
    eventually("its operations to be ended", BOUND, async || {
        (shop.hub.watching() == 1).then_some(())
    })
    .await;
    let mut answered = 0;
    let code = loop {
        match greedy.receive().await {
            Ok(_) => answered += 1,
            Err(code) => break code,
        }
    };
    assert_eq!(code, 1013);
    assert!(answered < 12, "all {sent} were answered");
    bystander.goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_is_counted_under_its_reason() {
    shop_core::runtime::metrics::install();
    let shop = Shop::open().await;
    let line = r#"live_endings_total{transport="graphql-transport-ws",reason="init_twice"} "#;
    let before = counted(line);
    let mut socket = Socket::open(shop.addr).await;
    socket.send(json!({ "type": "connection_init" })).await;
    socket.closed().await;
    eventually("the ending to be counted", BOUND, async || {
        (counted(line) > before).then_some(())
    })
    .await;
}

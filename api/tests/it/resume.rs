//! Going on with one order's stream after the connection was lost: on any copy of the API, nothing missing, nothing twice.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::documents::{
    CANCEL_ORDER, DELETE_ORDER, ORDER_STATUS_CHANGED, PAY_ORDER, UPDATE_ORDER_STATUS,
};
use crate::shop::Shop;
use crate::socket::Socket;

/// One order's stream, as a client has it.
struct Stream {
    socket: Socket,
    order: Value,
}

impl Stream {
    async fn open(addr: SocketAddr, order: &Value, after: &Value) -> Self {
        let mut socket = Socket::open(addr).await;
        let variables = json!({ "orderId": order, "after": after });
        socket.subscribe("1", ORDER_STATUS_CHANGED, variables).await;
        let order = order.clone();
        Self { socket, order }
    }

    async fn next(&mut self) -> Value {
        let mut answer = self.socket.next("1").await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let change = answer["data"]["orderStatusChanged"].take();
        assert_eq!(change["orderId"], self.order);
        change
    }

    /// The error with which it ends.
    async fn error(&mut self) -> Value {
        self.socket.refused("1").await[0].take()
    }
}

/// Brings a CONFIRMED order to DELIVERED, version 6, one change at a time.
async fn deliver(shop: &Shop, order: &Value) {
    let payment = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, payment).await;
    shop.settle().await;
    for status in ["PROCESSING", "SHIPPED", "DELIVERED"] {
        let input = json!({ "orderId": order, "status": status });
        shop.done(UPDATE_ORDER_STATUS, input).await;
        shop.settle().await;
    }
}

fn told(change: &Value) -> (i64, &str) {
    let version = change["version"].as_i64().expect("a number");
    (version, change["kind"].as_str().expect("a word"))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_every_version_another_copy_goes_on_with_what_was_missed_and_then_live() {
    let shop = Shop::open().await;
    let other = shop.copy().await;
    let order = shop.order_in(&["PAID", "PROCESSING"]).await; // version 4
    let mut stream = Stream::open(shop.addr, &order, &Value::Null).await;
    let snapshot = stream.next().await;
    assert_eq!(told(&snapshot), (4, "SNAPSHOT"));
    let mut cursors = vec![snapshot["cursor"].clone()];
    for (status, version) in [("SHIPPED", 5), ("DELIVERED", 6)] {
        let input = json!({ "orderId": order, "status": status });
        shop.done(UPDATE_ORDER_STATUS, input).await;
        shop.settle().await;
        let change = stream.next().await;
        assert_eq!(told(&change), (version, "LIVE"));
        cursors.push(change["cursor"].clone());
    }
    drop(stream);
    for (addr, cursor, first) in [
        (other.addr, &cursors[0], 5),
        (shop.addr, &cursors[0], 5),
        (other.addr, &cursors[1], 6),
    ] {
        let mut stream = Stream::open(addr, &order, cursor).await;
        for version in first..=6 {
            let change = stream.next().await;
            assert_eq!(told(&change), (version, "MISSED"));
            assert_eq!(change["order"]["version"], version);
            let place = usize::try_from(version - 4).expect("small");
            assert_eq!(change["cursor"], cursors[place], "one place, one cursor");
        }
    }
    // Nothing was missed: the stream is silent until the deletion ends it.
    let mut stream = Stream::open(other.addr, &order, &cursors[2]).await;
    shop.done(DELETE_ORDER, json!({ "orderId": order })).await;
    shop.settle().await;
    stream.socket.completed("1").await;
    // Who comes later learns that it is gone, or, if that is all that was missed, that it is over.
    let mut stream = Stream::open(other.addr, &order, &cursors[2]).await;
    stream.socket.completed("1").await;
    let mut stream = Stream::open(other.addr, &order, &cursors[0]).await;
    assert_eq!(stream.error().await["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_lost_all_the_time_lose_and_repeat_no_version() {
    let shop = Shop::open().await;
    let other = shop.copy().await;
    for items in 1..=3 {
        let order = shop.order_in(&[]).await;
        let begun = Notify::new();
        let change = async {
            begun.notified().await;
            deliver(&shop, &order).await;
        };
        // Comes back to the next copy after every so many items, while the order changes.
        let client = async {
            let (mut versions, mut cursor) = (Vec::new(), Value::Null);
            for addr in [shop.addr, other.addr].into_iter().cycle() {
                let mut stream = Stream::open(addr, &order, &cursor).await;
                for _ in 0..items {
                    let change = stream.next().await;
                    begun.notify_one();
                    versions.push(told(&change).0);
                    cursor = change["cursor"].clone();
                    if change["status"] == "DELIVERED" {
                        return versions;
                    }
                }
            }
            unreachable!("the copies come again and again")
        };
        let ((), versions) = tokio::join!(change, client);
        assert_eq!(versions, [2, 3, 4, 5, 6]);
    }
}

/// The control of the others: so they would fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_cursor_what_happened_meanwhile_is_not_told() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut stream = Stream::open(shop.addr, &order, &Value::Null).await;
    assert_eq!(told(&stream.next().await), (2, "SNAPSHOT"));
    drop(stream);
    deliver(&shop, &order).await;
    let mut stream = Stream::open(shop.addr, &order, &Value::Null).await;
    assert_eq!(told(&stream.next().await), (6, "SNAPSHOT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_none_of_this_order_is_an_error_that_names_it() {
    let shop = Shop::open().await;
    let (order, another) = (shop.order_in(&[]).await, shop.order_in(&["PAID"]).await);
    let mut cursors = Vec::new();
    for order in [&order, &another] {
        let mut stream = Stream::open(shop.addr, order, &Value::Null).await;
        let cursor = stream.next().await["cursor"].take();
        cursors.push(cursor.as_str().expect("a text").to_owned());
    }
    let at = 36..44; // where the version stands
    let ahead = cursors[0][..at.start].to_owned() + "0000000f" + &cursors[0][at.end..];
    let cut = &cursors[0][..30];
    for (cursor, word) in [
        ("", "expected a cursor"),
        ("7", "expected a cursor"),
        ("%00", "expected a cursor"),
        (cut, "expected a cursor"),
        (&cursors[0].repeat(1_000), "expected a cursor"),
        (&cursors[1], "another order"),
        (&ahead, "version 15"),
    ] {
        let mut stream = Stream::open(shop.addr, &order, &json!(cursor)).await;
        let error = stream.error().await;
        let extensions = &error["extensions"];
        assert_eq!(extensions["code"], "INVALID_CURSOR", "{cursor}: {error}");
        assert_eq!(extensions["argument"], "after");
        assert_eq!(extensions["retryable"], false);
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.contains("argument after") && message.contains(word),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_history_or_layout_is_answered_with_the_order_as_it_is() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut stream = Stream::open(shop.addr, &order, &Value::Null).await;
    let cursor = stream.next().await["cursor"].take();
    let cursor = cursor.as_str().expect("a text");
    let other_time = cursor[..44].to_owned() + "0000000000000001";
    let other_layout = format!("4f02{}", &cursor[4..]);
    for cursor in [other_time, other_layout] {
        let mut stream = Stream::open(shop.addr, &order, &json!(cursor)).await;
        assert_eq!(told(&stream.next().await), (2, "RESYNC"));
    }
    shop.done(CANCEL_ORDER, json!({ "orderId": order })).await;
    shop.settle().await;
    let mut stream = Stream::open(shop.addr, &order, &json!(cursor)).await;
    assert_eq!(told(&stream.next().await), (3, "MISSED"));
}

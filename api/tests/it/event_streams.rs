//! Server-sent events of many operations, by the single connection mode of `graphql-sse`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shop_core::testkit::eventually;

use crate::documents::{CREATE_USER, ORDER, ORDER_STATUS_CHANGED, PAY_ORDER, USERS};
use crate::events::{Events, RETRY};
use crate::shop::Shop;
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// Long enough to begin on a busy machine, short enough to wait for.
const BRIEFLY_MS: i64 = 8_000;
const TOKEN: &str = "x-graphql-event-stream-token";

/// A client of one stream.
struct Stream<'a> {
    shop: &'a Shop,
    token: String,
    /// What it shows of who it is.
    bearer: String,
}

impl<'a> Stream<'a> {
    async fn reserve(shop: &'a Shop) -> Self {
        Self::reserve_as(shop, &tokens::admin()).await
    }

    async fn reserve_as(shop: &'a Shop, bearer: &str) -> Self {
        let request = shop.client.put(shop.url("/graphql/stream"));
        let request = request.headers(tokens::headers(bearer));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::CREATED);
        let token = response.text().await.expect("a text");
        assert_eq!(token.len(), 32);
        Self {
            shop,
            token,
            bearer: bearer.to_owned(),
        }
    }

    /// The same stream for whoever shows another token.
    fn shown(&self, bearer: &str) -> Self {
        Self {
            shop: self.shop,
            token: self.token.clone(),
            bearer: bearer.to_owned(),
        }
    }

    async fn open(&self) -> Events {
        let request = self.shop.client.get(self.shop.url("/graphql/stream"));
        let request = request.headers(tokens::headers(&self.bearer));
        let mut events = Events::open(request.header(TOKEN, &self.token)).await;
        assert_eq!(events.event().await.as_deref(), Some(RETRY));
        events
    }

    /// Sends a request, in words and with what is refused.
    async fn ask(&self, method: Method, query: &str, body: Option<&Value>) -> (u16, Value) {
        let url = self.shop.url(&format!("/graphql/stream{query}"));
        let mut request = self
            .shop
            .client
            .request(method, url)
            .headers(tokens::headers(&self.bearer))
            .header(TOKEN, &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a text");
        let message = serde_json::from_str::<Value>(&text).unwrap_or_default();
        (status, message["errors"][0]["message"].clone())
    }

    async fn begin(&self, id: &str, document: &str, variables: Value) -> (u16, Value) {
        let extensions = json!({ "operationId": id });
        let body = json!({ "query": document, "variables": variables, "extensions": extensions });
        self.ask(Method::POST, "", Some(&body)).await
    }

    async fn end(&self, id: &str) -> (u16, Value) {
        self.ask(Method::DELETE, &format!("?operationId={id}"), None)
            .await
    }
}

/// The next event's name and data.
async fn next(events: &mut Events) -> (String, Value) {
    let event = events.event().await.expect("an event");
    let (name, data) = event.split_once("\ndata: ").expect("a name and data");
    let name = name.strip_prefix("event: ").expect("a name");
    (name.to_owned(), serde_json::from_str(data).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_operations_and_frees_all_of_them() {
    let shop = Shop::open().await;
    let (first, second) = (shop.order_in(&[]).await, shop.order_in(&[]).await);
    let stream = Stream::reserve(&shop).await;
    let mut events = stream.open().await;
    for (id, order) in [("a", &first), ("b", &second)] {
        let variables = json!({ "orderId": order });
        let (status, _) = stream.begin(id, ORDER_STATUS_CHANGED, variables).await;
        assert_eq!(status, 202);
        let (name, data) = next(&mut events).await;
        assert_eq!((name.as_str(), &data["id"]), ("next", &json!(id)));
        let change = &data["payload"]["data"]["orderStatusChanged"];
        assert_eq!(&change["orderId"], order, "{data}");
    }
    let (status, _) = stream.begin("c", USERS, json!({})).await;
    assert_eq!(status, 202);
    let (name, data) = next(&mut events).await;
    assert_eq!((name.as_str(), &data["id"]), ("next", &json!("c")));
    assert!(data["payload"]["data"]["users"].is_object(), "{data}");
    let over = |id: &str| ("complete".to_owned(), json!({ "id": id }));
    assert_eq!(next(&mut events).await, over("c"));

    assert_eq!(stream.end("a").await.0, 200);
    assert_eq!(next(&mut events).await, over("a"));
    assert_eq!(stream.end("a").await.0, 200, "once more is fine");
    eventually("one to be freed", BOUND, async || {
        (shop.hub.watching() == 1).then_some(())
    })
    .await;
    drop(events);
    eventually("the other one to be freed", BOUND, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
    eventually("the stream to be forgotten", BOUND, async || {
        (stream.begin("d", USERS, json!({})).await.0 == 404).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_run_once_and_what_can_not_run_is_told_on_the_stream() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let stream = Stream::reserve(&shop).await;
    let mut events = stream.open().await;
    let input = json!({ "name": "Ada", "email": "ada.sse@example.org" });
    let (status, _) = stream
        .begin("1", CREATE_USER, json!({ "input": input }))
        .await;
    assert_eq!(status, 202);
    let (_, data) = next(&mut events).await;
    let user = &data["payload"]["data"]["createUser"]["user"];
    assert!(user["id"].is_string(), "{data}");
    assert_eq!(next(&mut events).await.0, "complete");

    let pay = json!({ "input": { "orderId": order, "method": "card", "reference": "r" } });
    for (id, document, variables) in [
        ("2", "{ nothing }", json!({})),
        ("3", "{", json!({})),
        ("4", ORDER_STATUS_CHANGED, json!({ "orderId": "7" })),
        ("5", PAY_ORDER, pay),
    ] {
        let (status, _) = stream.begin(id, document, variables).await;
        assert_eq!(status, 202);
        let (name, data) = next(&mut events).await;
        assert_eq!((name.as_str(), &data["id"]), ("next", &json!(id)));
        let payload = &data["payload"];
        let refused = payload["errors"].is_array() || !payload["data"]["payOrder"].is_null();
        assert!(refused, "{data}");
        assert_eq!(
            next(&mut events).await,
            ("complete".into(), json!({ "id": id }))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_against_the_protocol_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let stream = Stream::reserve(&shop).await;
    let mut events = stream.open().await;
    let variables = json!({ "orderId": order });
    let begun = stream
        .begin("a", ORDER_STATUS_CHANGED, variables.clone())
        .await;
    assert_eq!(begun.0, 202);
    assert_eq!(next(&mut events).await.0, "next");

    let again = stream.begin("a", ORDER_STATUS_CHANGED, variables).await;
    assert_eq!(again, (409, json!("Operation with ID already exists")));
    let twice = stream.ask(Method::GET, "", None).await;
    assert_eq!(twice, (409, json!("Stream already open")));
    let nameless = json!({ "query": USERS });
    let (status, message) = stream.ask(Method::POST, "", Some(&nameless)).await;
    assert_eq!(
        (status, message),
        (400, json!("extensions.operationId is missing"))
    );
    let long = "x".repeat(10_000);
    assert_eq!(stream.begin(&long, USERS, json!({})).await.0, 400);
    let (status, message) = stream.ask(Method::DELETE, "", None).await;
    assert_eq!(
        (status, message),
        (400, json!("operationId is missing in the URL"))
    );
    for token in ["", "7", &"f".repeat(32)] {
        let stranger = Stream {
            shop: &shop,
            token: token.to_owned(),
            bearer: tokens::admin(),
        };
        let unknown = (404, json!("Stream not found"));
        assert_eq!(stranger.ask(Method::GET, "", None).await, unknown);
        assert_eq!(stranger.begin("a", USERS, json!({})).await, unknown);
        assert_eq!(stranger.end("a").await, unknown);
    }
    assert_eq!(shop.hub.watching(), 1, "the one that there was");
    // A browser's `EventSource` can set no header.
    let other = Stream::reserve(&shop).await;
    let url = shop.url(&format!("/graphql/stream?token={}", other.token));
    let mut events = Events::open(shop.client.get(url)).await;
    assert_eq!(events.event().await.as_deref(), Some(RETRY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_its_owner_keeps_a_stream_which_nobody_else_finds() {
    let shop = Shop::open().await;
    let order = shop.placed().await;
    shop.settle().await;
    let customer = order.customer_id.to_string();
    let order = json!(order.id.to_string());
    let watched = json!({ "orderId": order });
    let stranger = tokens::customer(&shop.customer().await);
    let brief = tokens::sign(&tokens::claims(&customer, "customer", BRIEFLY_MS));
    let renewed = Stream::reserve_as(&shop, &brief).await;
    let left = Stream::reserve_as(&shop, &brief).await;
    let (mut events, mut others) = (renewed.open().await, left.open().await);
    for (stream, events) in [(&renewed, &mut events), (&left, &mut others)] {
        let begun = stream.begin("a", ORDER_STATUS_CHANGED, watched.clone());
        assert_eq!(begun.await.0, 202);
        assert_eq!(next(events).await.0, "next");
    }

    let unknown = (404, json!("Stream not found"));
    let strange = renewed.shown(&stranger);
    let begun = strange.begin("b", ORDER_STATUS_CHANGED, watched).await;
    assert_eq!(begun, unknown);
    let fresh = renewed.shown(&tokens::token(&customer, "customer"));
    let begun = fresh.begin("b", ORDER, json!({ "id": order })).await;
    assert_eq!(begun.0, 202);
    let (name, data) = next(&mut events).await;
    assert_eq!((name.as_str(), &data["id"]), ("next", &json!("b")));
    assert_eq!(data["payload"]["data"]["order"]["id"], order, "{data}");
    let over = |id: &str| ("complete".to_owned(), json!({ "id": id }));
    assert_eq!(next(&mut events).await, over("b"));

    // The other one ends when the token of both does.
    let (_, data) = next(&mut others).await;
    let error = &data["payload"]["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAUTHENTICATED", "{data}");
    assert_eq!(next(&mut others).await, over("a"));
    assert_eq!(others.event().await, None);

    let payment = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, payment).await;
    shop.settle().await;
    let (_, data) = next(&mut events).await;
    let change = &data["payload"]["data"]["orderStatusChanged"];
    assert_eq!(
        (&data["id"], &change["version"]),
        (&json!("a"), &json!(3)),
        "{data}"
    );
    assert_eq!(strange.end("a").await, unknown);
    assert_eq!(fresh.end("a").await.0, 200);
    assert_eq!(next(&mut events).await, over("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_program_stops_the_stream_asks_to_come_back_and_ends() {
    let mut shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let mut events = {
        let stream = Stream::reserve(&shop).await;
        let mut events = stream.open().await;
        let variables = json!({ "orderId": order });
        assert_eq!(
            stream.begin("a", ORDER_STATUS_CHANGED, variables).await.0,
            202
        );
        assert_eq!(next(&mut events).await.0, "next");
        events
    };
    shop.shutdown.request();
    assert_eq!(events.event().await.as_deref(), Some(RETRY));
    assert_eq!(events.event().await, None);
    let ended = tokio::time::timeout(BOUND, &mut shop.serving).await;
    ended.expect("in time").expect("no panic");
    assert_eq!(shop.hub.watching(), 0);
}

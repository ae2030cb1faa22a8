//! Server-sent events, by the distinct connections mode of `graphql-sse`.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};
use shop_core::testkit::eventually;

use crate::documents::{CREATE_USER, ORDER_STATUS_CHANGED, PAY_ORDER, USERS};
use crate::shop::Shop;

const BOUND: Duration = Duration::from_secs(20);

/// A stream of events as it comes in.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn ask(shop: &Shop, document: &str, variables: Value) -> Self {
        let body = json!({ "query": document, "variables": variables });
        let request = shop.client.post(shop.url("/graphql")).json(&body);
        let request = request.header(header::ACCEPT, "text/event-stream");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let content_type = &response.headers()[header::CONTENT_TYPE];
        assert_eq!(content_type, "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["x-trace-id"].len(), 32);
        let text = String::new();
        Self { response, text }
    }

    /// The next event as it stands there, comments passed over; `None` at the end.
    async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event != ":" {
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(BOUND, self.response.chunk()).await;
            let chunk = chunk.expect("an event in time").expect("a connection")?;
            self.text += str::from_utf8(&chunk).expect("whole characters");
        }
    }

    async fn next(&mut self) -> Value {
        let event = self.event().await.expect("an event");
        let data = event.strip_prefix("event: next\ndata: ").expect("a next");
        serde_json::from_str(data).expect("JSON")
    }

    async fn completed(&mut self) {
        assert_eq!(
            self.event().await.as_deref(),
            Some("event: complete\ndata:")
        );
        assert_eq!(self.event().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_streams_and_ends_when_its_client_hangs_up() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let variables = json!({ "orderId": order });
    let mut events = Events::ask(&shop, ORDER_STATUS_CHANGED, variables).await;
    let version = |answer: Value| answer["data"]["orderStatusChanged"]["version"].clone();
    assert_eq!(version(events.next().await), 2);
    let input = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, input).await;
    shop.settle().await;
    assert_eq!(version(events.next().await), 3);
    assert_eq!(shop.hub.watching(), 1);
    drop(events);
    eventually("it to end", BOUND, async || {
        (shop.hub.watching() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_and_a_mutation_have_one_answer() {
    let shop = Shop::open().await;
    let input = json!({ "name": "Ada", "email": "ada@example.org" });
    let mut events = Events::ask(&shop, CREATE_USER, json!({ "input": input })).await;
    let name = &events.next().await["data"]["createUser"]["user"]["name"];
    assert_eq!(name, "Ada");
    events.completed().await;
    shop.settle().await;
    let mut events = Events::ask(&shop, USERS, json!({})).await;
    assert_eq!(
        events.next().await["data"]["users"]["nodes"][0]["name"],
        "Ada"
    );
    events.completed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_can_not_run_says_why_in_its_only_event() {
    let shop = Shop::open().await;
    for (document, variables, code) in [
        ("{", json!({}), "GRAPHQL_PARSE_FAILED"),
        (
            "subscription { nothing }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            ORDER_STATUS_CHANGED,
            json!({ "orderId": "7" }),
            "BAD_USER_INPUT",
        ),
    ] {
        let mut events = Events::ask(&shop, document, variables).await;
        let answer = events.next().await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        assert!(answer.get("data").is_none(), "{answer}");
        events.completed().await;
    }
    let request = shop.client.post(shop.url("/graphql")).body("{");
    let request = request.header(header::ACCEPT, "text/event-stream");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let answer = request.send().await.expect("an answer");
    assert_eq!(
        answer.status(),
        StatusCode::BAD_REQUEST,
        "no operation at all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stops_asks_its_streams_to_come_back_and_ends() {
    let mut shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let variables = json!({ "orderId": order });
    let mut events = Events::ask(&shop, ORDER_STATUS_CHANGED, variables).await;
    events.next().await;
    shop.shutdown.request();
    assert_eq!(events.event().await.as_deref(), Some("retry: 1000"));
    assert_eq!(events.event().await, None, "it is cut, not complete");
    let ended = tokio::time::timeout(BOUND, &mut shop.serving).await;
    let ended = ended.expect("it ends in time");
    ended.expect("no panic").expect("no error");
    assert_eq!(shop.hub.watching(), 0);
}

//! Server-sent events, by the distinct connections mode of `graphql-sse`.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use serde_json::{Value, json};
use shop_core::testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::documents::{
    CREATE_USER, DELETE_ORDER, ORDER_STATUS_CHANGED, PAY_ORDER, UPDATE_ORDER_STATUS, USERS,
};
use crate::shop::{Options, Shop, edge};
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// What a stream begins with, and ends with when the program stops.
pub const RETRY: &str = "retry: 1000";

/// Where an operation is by GET.
fn url(shop: &Shop, document: &str, variables: &str) -> Url {
    let parameters = [("query", document), ("variables", variables)];
    Url::parse_with_params(&shop.url("/graphql"), parameters).expect("a URL")
}

/// A stream of events as it comes in.
pub struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn ask(shop: &Shop, document: &str, variables: Value) -> Self {
        let body = json!({ "query": document, "variables": variables });
        Self::open(shop.client.post(shop.url("/graphql")).json(&body)).await
    }

    /// As a browser's `EventSource` does, the second time with the id that it had last.
    async fn get(shop: &Shop, document: &str, variables: &Value, last: Option<&str>) -> Self {
        let request = shop.client.get(url(shop, document, &variables.to_string()));
        Self::open(match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        })
        .await
    }

    pub async fn open(request: RequestBuilder) -> Self {
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
    pub async fn event(&mut self) -> Option<String> {
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

    /// The next answer, and its id.
    async fn identified(&mut self) -> (Option<String>, Value) {
        let mut event = self.event().await.expect("an event");
        if event == RETRY {
            event = self.event().await.expect("an event");
        }
        let lines: Vec<_> = event.lines().collect();
        let (id, data) = match lines[..] {
            ["event: next", id, data] => (id.strip_prefix("id: ").map(str::to_owned), data),
            ["event: next", data] => (None, data),
            _ => panic!("no next: {event}"),
        };
        let data = data.strip_prefix("data: ").expect("data");
        (id, serde_json::from_str(data).expect("JSON"))
    }

    async fn next(&mut self) -> Value {
        self.identified().await.1
    }

    /// The next answer of `orderStatusChanged`, which has its cursor as its id.
    async fn change(&mut self) -> Value {
        let (id, mut answer) = self.identified().await;
        let change = answer["data"]["orderStatusChanged"].take();
        assert_eq!(json!(id), change["cursor"], "{answer}");
        change
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
async fn a_stream_takes_one_of_its_users_places_until_it_ends() {
    let mut edge = edge();
    edge.sockets_per_user = 1;
    edge.subscriptions = 3; // of which those that are refused take none
    let shop = Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await;
    let order = shop.order_in(&[]).await;
    let body = json!({ "query": ORDER_STATUS_CHANGED, "variables": { "orderId": order } });
    let ask = || {
        let request = shop.client.post(shop.url("/graphql")).json(&body);
        request.header(header::ACCEPT, "text/event-stream")
    };
    let mut first = Events::open(ask()).await;
    first.next().await;
    let by_get = url(&shop, ORDER_STATUS_CHANGED, &body["variables"].to_string());
    let by_get = shop.client.get(by_get);
    for request in [
        ask(),
        by_get.header(header::ACCEPT, "text/event-stream"),
        shop.client.put(shop.url("/graphql/stream")),
    ] {
        let refused = request.send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "5");
        let body: Value = refused.json().await.expect("JSON");
        let told = &body["errors"][0]["extensions"];
        assert_eq!(told["code"], "TOO_MANY_SUBSCRIPTIONS", "{body}");
        assert_eq!(told["retryAfterMs"], 5_000, "{body}");
    }
    // What is answered once takes none, and somebody else has places of its own.
    let mut once = Events::ask(&shop, "{ __typename }", Value::Null).await;
    once.next().await;
    once.completed().await;
    let other = shop.client.post(shop.url("/graphql")).json(&body);
    let mut other = Events::open(other.headers(tokens::headers(&tokens::staff()))).await;
    other.next().await;
    drop(first);
    eventually("the place to be free", BOUND, async || {
        let answer = ask().send().await.expect("an answer");
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}

/// A shop in which each user has one place.
async fn with_a_place_each() -> Shop {
    let mut edge = edge();
    edge.sockets_per_user = 1;
    Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await
}

/// Opens a stream of an order's changes in a version of HTTP. Out: the connection, and all that came until its first answer.
async fn raw(shop: &Shop, token: &str, order: &Value, version: &str) -> (TcpStream, String) {
    let variables = json!({ "orderId": order }).to_string();
    let url = url(shop, ORDER_STATUS_CHANGED, &variables);
    let mut client = TcpStream::connect(shop.addr).await.expect("connected");
    let path = format!("{}?{}", url.path(), url.query().expect("a query"));
    let head = format!(
        "GET {path} HTTP/{version}\r\nHost: {}\r\nAccept: text/event-stream\r\nAuthorization: {}\r\n\r\n",
        shop.addr,
        tokens::bearer(token),
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("event: next") {
        let read = tokio::time::timeout(BOUND, client.read_buf(&mut told)).await;
        let read = read.expect("in time").expect("a connection");
        let so_far = String::from_utf8_lossy(&told);
        assert_ne!(read, 0, "it ended early: {so_far}");
    }
    let told = String::from_utf8_lossy(&told).into_owned();
    (client, told)
}

/// The connection is the stream's alone, but for clients of HTTP/1.0, who know nothing of chunks.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_its_connection_for_itself_and_is_told_to_old_clients_too() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    for (version, is_taken) in [("1.1", true), ("1.0", false)] {
        let (_client, told) = raw(&shop, &tokens::admin(), &order, version).await;
        assert!(told.starts_with("HTTP/1."), "{told}");
        assert!(
            told.contains("content-type: text/event-stream; charset=utf-8\r\n"),
            "{told}"
        );
        assert!(told.contains("x-trace-id: "), "{told}");
        assert_eq!(
            told.contains("transfer-encoding: chunked\r\n"),
            is_taken,
            "{told}"
        );
    }
}

/// One is over by itself, one is left, and so is one that an old client reads as a body without end; each is another user's.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_however_its_stream_ends() {
    let shop = with_a_place_each().await;
    let order = shop.order_in(&["CANCELED"]).await;
    let staff = ["1", "2", "3"].map(|n| {
        tokens::token(
            &format!("user_01939f2e-7b1c-7def-8a34-00000000010{n}"),
            "staff",
        )
    });
    let ask = |token: &str| {
        let body = json!({ "query": ORDER_STATUS_CHANGED, "variables": { "orderId": order } });
        let request = shop.client.post(shop.url("/graphql")).json(&body);
        request.headers(tokens::headers(token))
    };
    let status = async |token: &str| {
        let request = ask(token).header(header::ACCEPT, "text/event-stream");
        request.send().await.expect("an answer").status()
    };
    let mut over = Events::open(ask(&staff[0])).await;
    over.next().await;
    let (left, _) = raw(&shop, &staff[1], &order, "1.1").await;
    let (left_by_old, _) = raw(&shop, &staff[2], &order, "1.0").await;
    for token in &staff {
        assert_eq!(status(token).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    drop((left, left_by_old));
    for token in &staff[1..] {
        eventually("a place that was left to be free", BOUND, async || {
            (status(token).await == StatusCode::OK).then_some(())
        })
        .await;
    }
    shop.done(DELETE_ORDER, json!({ "orderId": order })).await;
    shop.settle().await;
    over.completed().await;
    eventually("the place of what is over to be free", BOUND, async || {
        (status(&staff[0]).await != StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_when_its_token_ends() {
    let shop = with_a_place_each().await;
    let order = shop.order_in(&[]).await;
    let body = json!({ "query": ORDER_STATUS_CHANGED, "variables": { "orderId": order } });
    let ask = |token: &str| {
        let request = shop.client.post(shop.url("/graphql")).json(&body);
        request.headers(tokens::headers(token))
    };
    let brief = tokens::sign(&tokens::claims(tokens::STAFF, "staff", 3_000));
    let mut events = Events::open(ask(&brief)).await;
    let mut told = Vec::new();
    while let Some(event) = events.event().await {
        told.push(event);
    }
    let [.., why, end] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(why.contains("UNAUTHENTICATED"), "{told:?}");
    assert!(end.contains("complete"), "{told:?}");
    eventually("its place to be free", BOUND, async || {
        let request = ask(&tokens::staff()).header(header::ACCEPT, "text/event-stream");
        let answer = request.send().await.expect("an answer");
        (answer.status() == StatusCode::OK).then_some(())
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
        (
            ORDER_STATUS_CHANGED,
            json!({ "orderId": "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01", "after": "7" }),
            "INVALID_CURSOR",
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
    assert_eq!(events.event().await.as_deref(), Some(RETRY));
    assert_eq!(events.event().await, None, "it is cut, not complete");
    let ended = tokio::time::timeout(BOUND, &mut shop.serving).await;
    let ended = ended.expect("it ends in time");
    ended.expect("no panic");
    assert_eq!(shop.hub.watching(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_goes_on_after_the_last_event_it_had() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let variables = json!({ "orderId": order });
    let mut events = Events::get(&shop, ORDER_STATUS_CHANGED, &variables, None).await;
    assert_eq!(events.event().await.as_deref(), Some(RETRY));
    let (first, answer) = events.identified().await;
    let first = first.expect("an id");
    assert_eq!(answer["data"]["orderStatusChanged"]["kind"], "SNAPSHOT");
    drop(events);

    let input = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, input).await;
    shop.settle().await;
    let mut events = Events::get(&shop, ORDER_STATUS_CHANGED, &variables, Some(&first)).await;
    let missed = events.change().await;
    assert_eq!(
        (&missed["version"], &missed["kind"]),
        (&json!(3), &json!("MISSED"))
    );
    let second = missed["cursor"].as_str().expect("a cursor");
    drop(events);

    // The document of a stream that was resumed itself still names the older place: what the browser had last counts.
    let input = json!({ "orderId": order, "status": "PROCESSING" });
    shop.done(UPDATE_ORDER_STATUS, input).await;
    shop.settle().await;
    let former = json!({ "orderId": order, "after": first });
    let mut events = Events::get(&shop, ORDER_STATUS_CHANGED, &former, Some(second)).await;
    assert_eq!(events.change().await["version"], 4);
    let mut events = Events::get(&shop, ORDER_STATUS_CHANGED, &former, Some("")).await;
    assert_eq!(events.change().await["version"], 3, "an empty id is none");

    let mut events = Events::get(&shop, ORDER_STATUS_CHANGED, &variables, Some("7")).await;
    let answer = events.next().await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_CURSOR");
    events.completed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_would_cost_too_much_is_refused_before_there_is_one() {
    let shop = Shop::open().await;
    let document = "subscription { orderUpdates { change { order { customer { orders(first: 100) { nodes { items { productName } } } } } } } }";
    let mut events = Events::ask(&shop, document, json!({})).await;
    let answer = events.next().await;
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["code"], "QUERY_TOO_COMPLEX", "{answer}");
    assert_eq!(error["limit"], 2_000, "{answer}");
    events.completed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_get_a_query_runs_and_no_mutation_and_nothing_for_a_foreign_page() {
    let shop = Shop::open().await;
    let mut events = Events::get(&shop, USERS, &json!({}), None).await;
    assert_eq!(events.next().await["data"]["users"]["nodes"], json!([]));
    events.completed().await;

    let variables = json!({ "input": { "name": "Ada", "email": "ada@example.org" } });
    let before = shop.everything().await;
    let get = |document: &str, variables: &str| {
        let request = shop.client.get(url(&shop, document, variables));
        request.header(header::ACCEPT, "text/event-stream")
    };
    let mutation = get(CREATE_USER, &variables.to_string());
    let none = shop.client.get(shop.url("/graphql"));
    let none = none.header(header::ACCEPT, "text/event-stream");
    for (request, status) in [
        (mutation, StatusCode::METHOD_NOT_ALLOWED),
        (get(USERS, "7"), StatusCode::BAD_REQUEST),
        (none, StatusCode::BAD_REQUEST),
        (
            get(USERS, "{}").header("sec-fetch-site", "cross-site"),
            StatusCode::FORBIDDEN,
        ),
        (
            get(USERS, "{}").header("sec-fetch-site", "same-site"),
            StatusCode::FORBIDDEN,
        ),
        (
            get(USERS, "{}").header("origin", "http://evil.example"),
            StatusCode::FORBIDDEN,
        ),
        (
            get(USERS, "{}").header("sec-fetch-site", "same-origin"),
            StatusCode::OK,
        ),
    ] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status);
        if status != StatusCode::OK {
            let answer: Value = response.json().await.expect("JSON");
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        }
    }
    assert_eq!(shop.everything().await, before);
}

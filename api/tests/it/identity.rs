//! Who is let in, what each role may do, and what becomes of a stream when its token runs out or shrinks.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use shop_core::runtime::clock;
use tokio::process::Command;
use tokio::time::Instant;

use crate::documents::{
    ADJUST_STOCK, CANCEL_ORDER, CREATE_ORDER, CREATE_USER, DELETE_USER, ORDER,
    ORDER_STATUS_CHANGED, ORDER_UPDATES, ORDERS, PAY_ORDER, UPDATE_ORDER_STATUS, UPDATE_USER,
    USERS,
};
use crate::events::Events;
use crate::shop::Shop;
use crate::socket::Socket;
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// Long enough to subscribe on a busy machine, short enough to wait for.
const BRIEFLY_MS: i64 = 8_000;
/// How late an ending may be on a busy machine; `make live TOKENS=1` measures it.
const LATE: Duration = Duration::from_secs(10);
/// How much earlier than here it may be there.
const EARLY: Duration = Duration::from_millis(500);

fn brief(user: &Value, role: &str) -> String {
    let user = user.as_str().expect("an id");
    tokens::sign(&tokens::claims(user, role, BRIEFLY_MS))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_answered_over_http() {
    let shop = Shop::open().await;
    let before = shop.everything().await;
    let client = Client::builder().timeout(BOUND).build().expect("a client");
    let input = json!({ "name": "Eve", "email": "eve@example.org" });
    let body = json!({ "query": CREATE_USER, "variables": { "input": input } }).to_string();
    let expired = tokens::sign(&tokens::claims(tokens::ADMIN, "admin", -1));
    let mut forged = tokens::admin();
    forged.pop();
    let long = "x".repeat(15_000);
    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Basic YWRtaW46YWRtaW4=".to_owned()), "no bearer token"),
        (Some(tokens::bearer("x")), "can not be read"),
        (Some(tokens::bearer(&expired)), "has expired"),
        (
            Some(tokens::bearer(&forged)),
            "Bearer error=\"invalid_token\"",
        ),
        (Some(tokens::bearer(&long)), "too long"),
    ] {
        for (method, path, accept) in [
            (Method::POST, "/graphql", "application/json"),
            (
                Method::GET,
                "/graphql?query={__typename}",
                "application/graphql-response+json",
            ),
            (
                Method::GET,
                "/graphql?query={__typename}",
                "text/event-stream",
            ),
            (Method::POST, "/graphql", "text/event-stream"),
            (Method::PUT, "/graphql/stream", "*/*"),
            (Method::GET, "/graphql/stream?token=x", "*/*"),
            (Method::POST, "/graphql/stream", "*/*"),
            (Method::DELETE, "/graphql/stream?operationId=1", "*/*"),
        ] {
            let mut request = client.request(method.clone(), shop.url(path));
            request = request.header(header::ACCEPT, accept);
            request = request.header(header::COOKIE, "authorization=Bearer; token=x");
            if let Some(authorization) = &authorization {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            if method == Method::POST {
                request = request.header(header::CONTENT_TYPE, "application/json");
                request = request.body(body.clone());
            }
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            let told = answer.headers()[header::WWW_AUTHENTICATE]
                .to_str()
                .expect("text");
            assert!(told.contains(challenge), "{told} has no {challenge}");
            let body: Value = answer.json().await.expect("JSON");
            let extensions = &body["errors"][0]["extensions"];
            assert_eq!(extensions["code"], "UNAUTHENTICATED", "{body}");
            assert_eq!(extensions["retryable"], false, "{body}");
            assert!(extensions["traceId"].is_string(), "{body}");
            assert!(body.get("data").is_none(), "{body}");
        }
    }
    assert_eq!(shop.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_too_small_is_told_so_before_anything_is_looked_at() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer().await, shop.product(10).await);
    let order = shop.order_in(&["PAID"]).await;
    let before = shop.everything().await;
    let (buyer, staff) = (tokens::customer(&customer), tokens::staff());
    let step = json!({ "input": { "orderId": order, "status": "PROCESSING" } });
    let nowhere = json!({ "input": { "orderId": "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01", "status": "PROCESSING" } });
    let stock = json!({ "input": { "productId": product, "delta": 1, "reason": "found" } });
    let user = json!({ "input": { "name": "Eve", "email": "eve@example.org" } });
    for (token, document, variables) in [
        (&buyer, UPDATE_ORDER_STATUS, &step),
        (&buyer, UPDATE_ORDER_STATUS, &nowhere),
        (&buyer, USERS, &json!({})),
        (&buyer, CREATE_USER, &user),
        (&staff, CREATE_USER, &user),
        (&staff, ADJUST_STOCK, &stock),
    ] {
        let answer = shop.ask_as(token, document, variables.clone()).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{answer:#}");
        assert!(answer.get("data").is_none(), "{answer:#}");
    }
    assert_eq!(shop.everything().await, before);
    let moved = shop.ask_as(&staff, UPDATE_ORDER_STATUS, step).await;
    assert_eq!(
        moved["data"]["updateOrderStatus"]["errors"],
        json!([]),
        "{moved:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buys_for_itself_and_staff_for_anybody() {
    let shop = Shop::open().await;
    let (ada, bob, product) = (
        shop.customer().await,
        shop.customer().await,
        shop.product(50).await,
    );
    let as_ada = tokens::customer(&ada);
    let lines = json!([{ "productId": product, "quantity": 1 }]);
    let create = async |token: &str, behalf: Value| {
        let mut input = json!({ "lines": lines });
        if !behalf.is_null() {
            input["onBehalfOf"] = behalf;
        }
        let mut answer = shop
            .ask_as(token, CREATE_ORDER, json!({ "input": input }))
            .await;
        answer["data"]["createOrder"].take()
    };
    for (token, behalf, customer) in [
        (&as_ada, Value::Null, &ada),
        (&as_ada, ada.clone(), &ada),
        (&tokens::staff(), bob.clone(), &bob),
    ] {
        let payload = create(token, behalf).await;
        assert_eq!(payload["order"]["customerId"], *customer, "{payload:#}");
    }
    let before = shop.everything().await;
    let payload = create(&as_ada, bob.clone()).await;
    assert_eq!(
        payload["errors"][0]["__typename"], "NotFoundError",
        "{payload:#}"
    );
    // Staff that is no user of the shop buys nothing for itself.
    let payload = create(&tokens::staff(), Value::Null).await;
    assert_eq!(
        payload["errors"][0]["__typename"], "NotFoundError",
        "{payload:#}"
    );
    assert_eq!(payload["errors"][0]["path"], json!(["input"]));
    assert_eq!(shop.everything().await, before);

    shop.settle().await;
    let listed = shop.ask_as(&as_ada, ORDERS, json!({})).await;
    let nodes = listed["data"]["orders"]["nodes"]
        .as_array()
        .expect("a list");
    assert_eq!(nodes.len(), 2, "{listed:#}");
    assert!(nodes.iter().all(|order| order["customerId"] == ada));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_off_an_order_is_in_its_timeline() {
    let shop = Shop::open().await;
    for (role, actor) in [("customer", "CUSTOMER"), ("staff", "STAFF")] {
        let order = shop.placed().await;
        shop.settle().await;
        let token = tokens::token(&order.customer_id.to_string(), role);
        let id = json!(order.id.to_string());
        let canceled = shop
            .ask_as(&token, CANCEL_ORDER, json!({ "input": { "orderId": id } }))
            .await;
        assert_eq!(
            canceled["data"]["cancelOrder"]["errors"],
            json!([]),
            "{canceled:#}"
        );
        shop.settle().await;
        let seen = shop.ask_as(&token, ORDER, json!({ "id": id })).await;
        let timeline = seen["data"]["order"]["timeline"]
            .as_array()
            .expect("a timeline");
        assert_eq!(
            timeline.last().expect("an entry")["actor"],
            actor,
            "{seen:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_change_themselves_and_administrators_anybody() {
    let shop = Shop::open().await;
    let (ada, bob) = (shop.customer().await, shop.customer().await);
    let rename = json!({ "input": { "id": ada, "name": "Ada L." } });
    for (token, is_found) in [
        (tokens::customer(&bob), false),
        (tokens::staff(), false),
        (tokens::customer(&ada), true),
        (tokens::admin(), true),
    ] {
        let answer = shop.ask_as(&token, UPDATE_USER, rename.clone()).await;
        let payload = &answer["data"]["updateUser"];
        assert_eq!(payload["user"].is_object(), is_found, "{answer:#}");
        if !is_found {
            assert_eq!(
                payload["errors"][0]["__typename"], "NotFoundError",
                "{answer:#}"
            );
        }
    }
    let gone = json!({ "input": { "id": bob } });
    let answer = shop
        .ask_as(&tokens::staff(), DELETE_USER, gone.clone())
        .await;
    assert_eq!(
        answer["data"]["deleteUser"]["errors"][0]["__typename"],
        "NotFoundError"
    );
    let answer = shop
        .ask_as(&tokens::customer(&bob), DELETE_USER, gone)
        .await;
    assert_eq!(answer["data"]["deleteUser"]["deletedId"], bob, "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a key of a client's own making")]
async fn a_key_is_its_users_own() {
    let shop = Shop::open().await;
    let (ada, bob, product) = (
        shop.customer().await,
        shop.customer().await,
        shop.product(50).await,
    );
    let key = uuid::Uuid::new_v4().to_string();
    let lines = json!([{ "productId": product, "quantity": 1 }]);
    let input = json!({ "input": { "lines": lines, "idempotencyKey": key } });
    let mut orders = Vec::new();
    for customer in [&ada, &bob, &ada, &bob] {
        let token = tokens::customer(customer);
        let answer = shop.ask_as(&token, CREATE_ORDER, input.clone()).await;
        let order = &answer["data"]["createOrder"]["order"];
        assert_eq!(order["customerId"], *customer, "{answer:#}");
        orders.push(order["id"].clone());
    }
    assert_eq!(orders[..2], orders[2..]);
    assert_ne!(orders[0], orders[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_says_who_it_is_or_closes_with_4403() {
    let shop = Shop::open().await;
    let expired = tokens::sign(&tokens::claims(tokens::ADMIN, "admin", -1));
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        for token in [None, Some("x"), Some(expired.as_str())] {
            let mut socket = Socket::upgrade_as_nobody(shop.addr, protocol).await;
            match token {
                Some(token) => socket.init_with(token).await,
                None => socket.send(json!({ "type": "connection_init" })).await,
            }
            let (code, reason) = socket.closed().await;
            assert_eq!(code, 4403, "{reason}");
            assert!(reason.starts_with("Forbidden: "), "{reason}");
        }
    }
}

/// An order of a new customer's, whose stock is held, and its customer.
async fn an_order(shop: &Shop) -> (Value, Value) {
    let order = shop.placed().await;
    shop.settle().await;
    (
        json!(order.id.to_string()),
        json!(order.customer_id.to_string()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_within_a_second() {
    let shop = Shop::open().await;
    let (order, customer) = an_order(&shop).await;
    let token = brief(&customer, "customer");
    let ends = Instant::now() + Duration::from_millis(BRIEFLY_MS.unsigned_abs());
    let mut socket = Socket::open_as(shop.addr, &token).await;
    let watched = json!({ "orderId": order });
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, watched.clone())
        .await;
    assert_eq!(
        socket.next("1").await["data"]["orderStatusChanged"]["kind"],
        "SNAPSHOT"
    );

    let body = json!({ "query": ORDER_STATUS_CHANGED, "variables": watched });
    let request = shop.client.post(shop.url("/graphql")).json(&body);
    let mut events = Events::open(request.headers(tokens::headers(&token))).await;
    let first = events.event().await.expect("an event");
    assert!(first.contains("retry"), "{first}");
    let first = events.event().await.expect("an event");
    assert!(first.contains("SNAPSHOT"), "{first}");

    let put = shop.client.put(shop.url("/graphql/stream"));
    let reserved = put
        .headers(tokens::headers(&token))
        .send()
        .await
        .expect("an answer");
    let stream = reserved.text().await.expect("a token");

    assert_eq!(
        socket.closed().await,
        (4403, "Forbidden: the token has expired".to_owned())
    );
    assert!(
        Instant::now() >= ends - EARLY && Instant::now() < ends + LATE,
        "{:?}",
        ends.elapsed()
    );
    let last = events.event().await.expect("an event");
    assert!(last.contains("UNAUTHENTICATED"), "{last}");
    assert!(events.event().await.expect("an event").contains("complete"));
    assert_eq!(events.event().await, None);
    assert!(Instant::now() < ends + LATE, "{:?}", ends.elapsed());

    // Nothing is left of the stream that was reserved either, though its owner has a fresh token.
    let fresh = tokens::headers(&tokens::customer(&customer));
    shop_core::testkit::eventually("the stream to be gone", BOUND, async || {
        let url = shop.url(&format!("/graphql/stream?token={stream}&operationId=1"));
        let answer = shop.client.delete(url).headers(fresh.clone()).send().await;
        (answer.expect("an answer").status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_on_the_same_socket_leaves_no_gap() {
    let shop = Shop::open().await;
    let (order, customer) = an_order(&shop).await;
    let mut socket = Socket::open_as(shop.addr, &brief(&customer, "customer")).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    assert_eq!(
        socket.next("1").await["data"]["orderStatusChanged"]["version"],
        2
    );
    let begun = clock::now().millis();
    // Past the end of the first token; the last one lasts.
    for (by, fresh) in [
        ("connection_init", brief(&customer, "customer")),
        ("ping", tokens::customer(&customer)),
    ] {
        let payload = json!({ "authorization": tokens::bearer(&fresh) });
        socket.send(json!({ "type": by, "payload": payload })).await;
        let answer = socket.receive().await.expect("an open socket");
        assert!(
            matches!(answer["type"].as_str(), Some("connection_ack" | "pong")),
            "{answer}"
        );
        assert!(!answer.to_string().contains("Bearer"), "{answer}");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(clock::now().millis() > begun + BRIEFLY_MS);
    let payment = json!({ "orderId": order, "method": "card", "reference": order });
    shop.done(PAY_ORDER, payment).await;
    shop.settle().await;
    assert_eq!(
        socket.next("1").await["data"]["orderStatusChanged"]["version"],
        3
    );

    socket
        .init_with(&tokens::customer(&shop.customer().await))
        .await;
    let (code, reason) = socket.closed().await;
    assert_eq!(
        (code, reason.as_str()),
        (4403, "Forbidden: the fresh token is another user's")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_shrinks_takes_effect_at_the_refresh() {
    let shop = Shop::open().await;
    let (theirs, _) = an_order(&shop).await;
    let somebody = shop.customer().await;
    let id = somebody.as_str().expect("an id");
    let mut socket = Socket::open_as(shop.addr, &tokens::token(id, "staff")).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": theirs }))
        .await;
    assert_eq!(
        socket.next("1").await["data"]["orderStatusChanged"]["version"],
        2
    );
    socket.init_with(&tokens::token(id, "customer")).await;
    assert_eq!(
        socket.receive().await,
        Ok(json!({ "type": "connection_ack" }))
    );
    let payment = json!({ "orderId": theirs, "method": "card", "reference": theirs });
    shop.done(PAY_ORDER, payment).await;
    shop.settle().await;
    let last = socket.receive().await.expect("an open socket").to_string();
    assert!(
        last.contains("FORBIDDEN") && !last.contains("PAID"),
        "{last}"
    );
    // What it may ask from now on is a customer's.
    socket.subscribe("2", USERS, json!({})).await;
    loop {
        let message = socket.receive().await.expect("an open socket");
        if message["id"] == "2" {
            assert!(message.to_string().contains("FORBIDDEN"), "{message}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_operations_is_its_owners_alone() {
    let shop = Shop::open().await;
    let (order, customer) = an_order(&shop).await;
    let own = tokens::headers(&tokens::customer(&customer));
    let strange = tokens::headers(&tokens::customer(&shop.customer().await));
    let put = shop
        .client
        .put(shop.url("/graphql/stream"))
        .headers(own.clone());
    let stream = put
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a token");
    let url = shop.url(&format!("/graphql/stream?token={stream}"));
    let body = json!({
        "query": ORDER_UPDATES, "variables": {}, "extensions": { "operationId": "1" },
    });
    for (method, body) in [
        (Method::GET, None),
        (Method::POST, Some(&body)),
        (Method::DELETE, None),
    ] {
        let mut request = shop
            .client
            .request(method.clone(), format!("{url}&operationId=1"));
        request = request.headers(strange.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method}");
    }
    let mut events = Events::open(shop.client.get(&url).headers(own.clone())).await;
    assert!(events.event().await.is_some());
    let body = json!({
        "query": ORDER_STATUS_CHANGED,
        "variables": { "orderId": order },
        "extensions": { "operationId": "1" },
    });
    let begun = shop.client.post(&url).headers(own).json(&body).send().await;
    assert_eq!(begun.expect("an answer").status(), StatusCode::ACCEPTED);
    let told = events.event().await.expect("an event");
    assert!(told.contains("SNAPSHOT"), "{told}");
}

/// What the program says, and its code, when it is started like this.
async fn started(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command
        .args(arguments)
        .envs(settings.iter().copied())
        .kill_on_drop(true);
    command.stdin(Stdio::null());
    let output = tokio::time::timeout(BOUND, command.output()).await;
    let output = output.expect("it ends").expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_there_is_no_start_without_keys_and_there_are_no_demo_tokens() {
    const PRODUCTION: [(&str, &str); 7] = [
        ("ENV", "production"),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("MYSQL_DSN", "mysql://shop:shop@127.0.0.1:1/shop"),
        ("MONGO_URI", "mongodb://127.0.0.1:1/shop"),
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("JWT_ISSUER", "https://login.example/"),
        ("JWT_AUDIENCE", "shop"),
    ];
    let (code, said) = started(&["serve"], &PRODUCTION).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("JWT_SECRET") && said.contains("JWT_JWKS"),
        "{said}"
    );
    let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let (code, said) = started(&["token"], &[&PRODUCTION[..], &[secret]].concat()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ENV=production"), "{said}");
    let (code, said) = started(&["token", "--role", "admin"], &[]).await;
    assert_eq!((code, said.matches('.').count()), (Some(0), 2), "{said}");
}

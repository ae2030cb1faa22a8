//! Who may call: no foreign page, neither by its own name nor by ours.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, http};

use crate::documents::CREATE_USER;
use crate::shop::{Options, Shop, edge};

const EVIL: &str = "http://evil.example";

/// The status of an upgrade with these headers.
async fn upgraded(addr: SocketAddr, headers: &[(&'static str, &str)]) -> u16 {
    let mut request = format!("ws://{addr}/graphql")
        .into_client_request()
        .expect("an address");
    let protocol = http::HeaderValue::from_static("graphql-transport-ws");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(*name, value);
    }
    match connect_async(request).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

/// The answer to a mutation that is posted with these headers.
async fn posted(shop: &Shop, headers: &[(&'static str, &str)]) -> reqwest::Response {
    let input = json!({ "name": "Ada", "email": "ada@example.org" });
    let body = json!({ "query": CREATE_USER, "variables": { "input": input } });
    let mut request = shop.client.post(shop.url("/graphql")).json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_opens_no_socket_and_posts_nothing() {
    let shop = Shop::open().await;
    let own = format!("http://{}", shop.addr);
    for (headers, status) in [
        (&[][..], 101),
        (&[("origin", own.as_str())], 101),
        (&[("origin", EVIL)], 403),
        (&[("origin", "null")], 403),
        (&[("host", "evil.example")], 421),
        (&[("host", "evil.example"), ("origin", EVIL)], 421),
    ] {
        assert_eq!(upgraded(shop.addr, headers).await, status, "{headers:?}");
    }
    for (name, value, status) in [
        ("host", "evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("host", "evil.example:4000", StatusCode::MISDIRECTED_REQUEST),
        ("origin", EVIL, StatusCode::FORBIDDEN),
    ] {
        let answer = posted(&shop, &[(name, value)]).await;
        assert_eq!(answer.status(), status, "{name}: {value}");
        let body: Value = answer.json().await.expect("errors in JSON");
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    }
    assert_eq!(shop.db.count("SELECT COUNT(*) FROM users").await, 0);
    let answer = posted(&shop, &[("origin", &own)]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(shop.db.count("SELECT COUNT(*) FROM users").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_not_shown_under_a_foreign_name() {
    let shop = Shop::open().await;
    let request = shop.client.get(shop.url("/"));
    let answer = request.header(header::HOST, "api.internal").send().await;
    assert_eq!(
        answer.expect("an answer").status(),
        StatusCode::MISDIRECTED_REQUEST
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_pages_of_the_settings_may_call() {
    let mut edge = edge();
    edge.hosts = vec!["shop.example".to_owned()];
    edge.origins = vec!["https://front.example".to_owned()];
    let shop = Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await;
    let front = ("origin", "https://front.example");
    let named = ("host", "shop.example");
    assert_eq!(upgraded(shop.addr, &[named, front]).await, 101);
    assert_eq!(upgraded(shop.addr, &[named, ("origin", EVIL)]).await, 403);
    let own = ("origin", "https://shop.example");
    assert_eq!(upgraded(shop.addr, &[named, own]).await, 101);

    let asked = shop
        .client
        .request(Method::OPTIONS, shop.url("/graphql"))
        .header(front.0, front.1)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let allowed = asked.send().await.expect("an answer");
    assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
    let headers = allowed.headers();
    assert_eq!(headers["access-control-allow-origin"], front.1);
    assert_eq!(headers["access-control-allow-methods"], "POST, PUT, DELETE");
    let posted = posted(&shop, &[front]).await;
    assert_eq!(posted.status(), StatusCode::OK);
    assert_eq!(posted.headers()["access-control-allow-origin"], front.1);
}

/// What `graphql-sse` sends over a single connection, which a browser asks for first.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_settings_may_use_one_stream_for_many_operations() {
    const TOKEN: &str = "x-graphql-event-stream-token";
    let front = "https://front.example";
    let mut edge = edge();
    edge.origins = vec![front.to_owned()];
    let shop = Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await;
    let url = shop.url("/graphql/stream");
    for method in ["PUT", "POST", "DELETE"] {
        let asked = shop.client.request(Method::OPTIONS, &url);
        let asked = asked
            .header(header::ORIGIN, front)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", TOKEN);
        let allowed = asked.send().await.expect("an answer");
        let list = |name: &str| -> Vec<String> {
            let value = allowed.headers()[name].to_str().expect("text");
            value.split(", ").map(str::to_owned).collect()
        };
        let methods = list("access-control-allow-methods");
        assert!(methods.iter().any(|known| known == method), "{methods:?}");
        let headers = list("access-control-allow-headers");
        assert!(headers.iter().any(|known| known == TOKEN), "{headers:?}");
    }
    let reserved = shop.client.put(&url).header(header::ORIGIN, front);
    let reserved = reserved.send().await.expect("an answer");
    assert_eq!(reserved.status(), StatusCode::CREATED);
    assert_eq!(reserved.headers()["access-control-allow-origin"], front);
    let foreign = shop.client.put(&url).header(header::ORIGIN, EVIL);
    let refused = foreign.send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

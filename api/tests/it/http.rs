//! The HTTP edge: what is a request, what is not, and what surrounds an answer.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::documents::{CREATE_USER, INTROSPECTION, USERS};
use crate::shop::{Options, PATIENCE, Shop, edge};
use crate::tokens;

/// What browsers are told in every answer.
const WARNINGS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Status and first error of what is no GraphQL request.
async fn rejected(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let mut body: Value = response.json().await.expect("errors in JSON");
    assert!(
        body.get("data").is_none(),
        "what was not run has no data: {body:#}"
    );
    (status, body["errors"][0].take())
}

fn code(error: &Value) -> &str {
    error["extensions"]["code"].as_str().expect("a code")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_graphql_request_in_json_is_a_400() {
    let shop = Shop::open().await;
    let valid = json!({ "query": USERS }).to_string();
    for body in [
        "",
        "{",
        "null",
        "7",
        "{}",
        r#"{"query":7}"#,
        r#"{"query":"{users{nodes{id}}}","variables":[]}"#,
    ] {
        let request = shop
            .client
            .post(shop.url("/graphql"))
            .header(header::CONTENT_TYPE, "application/json");
        let (status, error) = rejected(request.body(body).send().await.expect("an answer")).await;
        assert_eq!(
            (status, code(&error)),
            (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            "{body}"
        );
    }
    let batch = format!("[{valid},{valid}]");
    let request = shop
        .client
        .post(shop.url("/graphql"))
        .header(header::CONTENT_TYPE, "application/json");
    let (status, error) = rejected(request.body(batch).send().await.expect("an answer")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("batch"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_is_read_so_that_no_foreign_page_can_post() {
    let shop = Shop::open().await;
    let body = json!({ "query": CREATE_USER }).to_string();
    let foreign = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
    ];
    for content_type in foreign {
        let request = shop
            .client
            .post(shop.url("/graphql"))
            .header(header::CONTENT_TYPE, content_type);
        let (status, _) =
            rejected(request.body(body.clone()).send().await.expect("an answer")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let request = shop
        .client
        .post(shop.url("/graphql"))
        .header(header::CONTENT_TYPE, "Application/JSON; charset=utf-8");
    let answer = request
        .body(json!({ "query": "{ __typename }" }).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_whether_its_length_is_said_or_not() {
    let shop = Shop::open().await;
    let padding = "#".repeat(512 * 1024);
    let body = json!({ "query": format!("{{ __typename }} {padding}") });
    let (status, error) = rejected(shop.post(&body).await).await;
    assert_eq!(
        (status, code(&error)),
        (StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE")
    );
    let most = "131072 bytes";
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|it| it.contains(most))
    );
    let mut stream = tokio::net::TcpStream::connect(shop.addr)
        .await
        .expect("a connection");
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        shop.addr,
        tokens::bearer(&tokens::admin()),
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
    for _ in 0..3 {
        stream.write_all(chunk.as_bytes()).await.expect("sent");
    }
    stream.write_all(b"0\r\n\r\n").await.expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_by_other_methods_than_get_and_post() {
    let shop = Shop::open().await;
    let query = "/graphql?query=%7B__typename%7D";
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = shop.client.request(method.clone(), shop.url(query));
        let response = request.send().await.expect("an answer");
        assert_eq!(
            response.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
        assert!(response.headers().contains_key(header::ALLOW), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_runs_by_get_and_nothing_else_does() {
    let shop = Shop::open().await;
    let get = |parameters: &[(&str, &str)]| {
        let mut url = reqwest::Url::parse(&shop.url("/graphql")).expect("a URL");
        url.query_pairs_mut().extend_pairs(parameters);
        shop.client.get(url).send()
    };
    let named = "query A($id: ID!) { node(id: $id) { id } } query B { __typename }";
    for (parameters, data) in [
        (
            &[("query", "{ __typename }")][..],
            json!({ "__typename": "Query" }),
        ),
        (
            &[
                ("query", named),
                ("operationName", "A"),
                ("variables", r#"{"id":"user_none"}"#),
            ],
            json!({ "node": null }),
        ),
        (
            &[("query", named), ("operationName", "B")],
            json!({ "__typename": "Query" }),
        ),
    ] {
        let response = get(parameters).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{parameters:?}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["data"], data, "{parameters:?}");
    }
    let before = shop.everything().await;
    let variables = json!({ "input": { "name": "Ada", "email": "ada@example.org" } }).to_string();
    for (parameters, status) in [
        (&[][..], StatusCode::BAD_REQUEST),
        (
            &[("query", "{ __typename }"), ("variables", "7")],
            StatusCode::BAD_REQUEST,
        ),
        (
            &[("query", CREATE_USER), ("variables", &variables)],
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let response = get(parameters).await.expect("an answer");
        let is_put_right = response
            .headers()
            .get(header::ALLOW)
            .is_some_and(|it| it == "POST");
        assert_eq!(is_put_right, status == StatusCode::METHOD_NOT_ALLOWED);
        let (answered, error) = rejected(response).await;
        assert_eq!(
            (answered, code(&error)),
            (status, "BAD_REQUEST"),
            "{parameters:?}"
        );
    }
    assert_eq!(shop.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_no_graphql_or_does_not_fit_is_refused_with_its_code() {
    let shop = Shop::open().await;
    let deep = format!("{{ users {}", "{ nodes { orders ".repeat(30))
        + "{ nodes { id } }"
        + &"} }".repeat(30)
        + "}";
    let wide = "{ users(first: 100) { nodes { orders(first: 100) { nodes { items { productId quantity productName } customer { orders(first: 100) { nodes { id } } } } } } } }";
    for (query, expected) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        (
            "{ users { nodes { secret } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "query A { __typename } query B { __typename }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "subscription { orderStatusChanged(orderId: \"x\") { version } }",
            "BAD_REQUEST",
        ),
        (&deep, "QUERY_TOO_COMPLEX"),
        (wide, "QUERY_TOO_COMPLEX"),
    ] {
        // Clients of plain JSON take another status than 200 for a failure of the network.
        for (media_type, expected_status) in [
            ("application/json", StatusCode::OK),
            ("application/graphql-response+json", StatusCode::BAD_REQUEST),
        ] {
            let request = shop.client.post(shop.url("/graphql"));
            let request = request.header(header::ACCEPT, media_type);
            let request = request.json(&json!({ "query": query }));
            let (status, error) = rejected(request.send().await.expect("an answer")).await;
            assert_eq!(
                (status, code(&error)),
                (expected_status, expected),
                "{query}: {error}"
            );
        }
    }
    let two = "query A { __typename } query B { users { nodes { id } } }";
    let chosen = shop
        .post(&json!({ "query": two, "operationName": "A" }))
        .await;
    assert_eq!(
        chosen.json::<Value>().await.expect("JSON")["data"],
        json!({ "__typename": "Query" })
    );
    let (_, error) = rejected(
        shop.post(&json!({ "query": two, "operationName": "C" }))
            .await,
    )
    .await;
    assert_eq!(code(&error), "GRAPHQL_VALIDATION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_trace_and_the_media_type_that_was_asked_for() {
    let shop = Shop::open().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = shop
        .client
        .post(shop.url("/graphql"))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .header(
            header::ACCEPT,
            "application/graphql-response+json, application/json;q=0.9",
        )
        .json(&json!({ "query": "{ user(id: \"7\") { id } }" }));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "it was run");
    assert_eq!(response.headers()["x-trace-id"], trace);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/graphql-response+json"
    );
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["data"], json!({ "user": null }));
    assert_eq!(body["errors"][0]["extensions"]["traceId"], trace);

    let plain = shop.post(&json!({ "query": "{ __typename }" })).await;
    assert_eq!(plain.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(plain.headers()["x-trace-id"].len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_mutation_carry_its_trace() {
    let shop = Shop::open().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let input = json!({ "name": "Ada", "email": "ada@example.org" });
    let request = shop
        .client
        .post(shop.url("/graphql"))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .json(&json!({ "query": CREATE_USER, "variables": { "input": input } }));
    assert!(
        request
            .send()
            .await
            .expect("an answer")
            .status()
            .is_success()
    );
    let events = shop.db.take_outbox().await;
    let traces: Vec<_> = events
        .iter()
        .map(|event| {
            event
                .trace
                .as_ref()
                .map(shop_core::events::TraceParent::trace_id)
        })
        .collect();
    assert_eq!(traces, [Some(trace)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_can_be_asked_for_as_the_page_does() {
    let shop = Shop::open().await;
    let schema = shop.data(INTROSPECTION, json!({})).await["__schema"].take();
    assert_eq!(schema["subscriptionType"]["name"], "Subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_and_what_operators_ask_for_is_not() {
    let shop = Shop::open().await;
    shop.data(USERS, json!({})).await;
    let get = async |path: &str| {
        shop.client
            .get(shop.url(path))
            .send()
            .await
            .expect("an answer")
    };
    let page = get("/").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("a text")
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("http"),
        "{policy}"
    );
    assert_eq!(
        get("/assets/nothing.js").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get("/assets/..%2f..%2fCargo.toml").await.status(),
        StatusCode::NOT_FOUND
    );
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

/// The answer, which must warn browsers once of each, and tell them to ask over TLS alone where it is so.
async fn warned(request: RequestBuilder, status: u16, tls_alone: Option<&str>) -> Response {
    let answer = request.send().await.expect("an answer");
    let url = answer.url().to_string();
    assert_eq!(answer.status().as_u16(), status, "{url}");
    let values = |name: &str| -> Vec<String> {
        let values = answer.headers().get_all(name).iter();
        let texts = values.map(|value| value.to_str().expect("a text").to_owned());
        texts.collect()
    };
    for (name, value) in WARNINGS {
        assert_eq!(values(name), [value], "{name} of {status} {url}");
    }
    let told = values("strict-transport-security");
    let is_told = told.iter().map(String::as_str).eq(tls_alone);
    assert!(is_told, "{told:?} of {status} {url}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_warns_browsers_and_speaks_of_tls_only_where_there_is_nothing_else() {
    let shop = Shop::open().await;
    let mut edge = edge();
    edge.https_only = true;
    let behind_tls = shop
        .copy_with(Options {
            edge: Some(edge),
            ..Options::default()
        })
        .await;
    let nobody = Client::builder().timeout(PATIENCE).build();
    let nobody = nobody.expect("a client");
    let somebody = &shop.client;
    for (addr, tls_alone) in [
        (shop.addr, None),
        (behind_tls.addr, Some("max-age=31536000")),
    ] {
        let url = |path: &str| format!("http://{addr}{path}");
        let query = url("/graphql?query=%7B__typename%7D");
        let foreign = somebody
            .get(&query)
            .header(header::ORIGIN, "http://evil.example");
        for (request, status) in [
            (somebody.get(&query), 200),
            (somebody.get(url("/graphql")), 400),
            (nobody.get(&query), 401),
            (foreign, 403),
            (somebody.get(url("/nothing")), 404),
            (somebody.delete(url("/graphql")), 405),
            (somebody.get(url("/")), 200),
            (somebody.get(url("/assets/nothing.js")), 404),
        ] {
            warned(request, status, tls_alone).await;
        }
        // A stream of events has its connection for itself, and a head that is written elsewhere.
        let streams = url("/graphql/stream");
        let reserved = warned(somebody.put(&streams), 201, tls_alone).await;
        let token = reserved.text().await.expect("a token");
        let opened = somebody.get(format!("{streams}?token={token}"));
        warned(opened, 200, tls_alone).await;
    }
}

//! What is meant to harm: each is refused with its code and status, over every transport, and the program lives on.

use std::process::Stdio;

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::Process;
use crate::socket::Socket;
use crate::tokens;

fn many(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// Documents that go beyond a limit, each with its code.
#[expect(clippy::too_many_lines, reason = "a table")]
fn documents() -> Vec<(&'static str, String, &'static str)> {
    let nested = |depth: usize| "{ a ".repeat(depth) + &"}".repeat(depth);
    let bomb = many(31, |number| {
        let next = number + 1;
        format!("fragment F{number} on Query {{ ...F{next} ...F{next} }} ")
    });
    vec![
        (
            "circular fragments",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "a fragment of itself",
            "{ ...A } fragment A on Query { __typename ...A }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "fragments that double",
            format!("{{ ...F0 }} {bomb} fragment F31 on Query {{ __typename }}"),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "101 aliases",
            format!("{{ {} }}", many(101, |n| format!("a{n}: __typename "))),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "500 repeated fields",
            format!("{{ {} }}", "__typename ".repeat(500)),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "1,000 directives",
            format!("{{ __typename {} }}", "@include(if: true) ".repeat(1_000)),
            "QUERY_TOO_COMPLEX",
        ),
        ("deep selections", nested(25), "QUERY_TOO_COMPLEX"),
        ("very deep selections", nested(5_000), "QUERY_TOO_COMPLEX"),
        (
            "deep values",
            format!("{{ a(b: {}{}) }}", "[".repeat(5_000), "]".repeat(5_000)),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "a huge list literal",
            format!("{{ nodes(ids: [{}]) {{ id }} }}", "1,".repeat(10_000)),
            "DOCUMENT_TOO_LARGE",
        ),
        (
            "a huge list without spaces",
            format!("{{ nodes(ids: [{}]) {{ id }} }}", "0".repeat(10_000)),
            "DOCUMENT_TOO_LARGE",
        ),
        (
            "a huge object literal",
            format!(
                "{{ users(filter: {{ {} }}) {{ nodes {{ id }} }} }}",
                many(1_000, |n| format!("a{n}: 1 "))
            ),
            "DOCUMENT_TOO_LARGE",
        ),
        (
            "a long comment",
            format!("{{ __typename }} #{}", "x".repeat(50_000)),
            "DOCUMENT_TOO_LARGE",
        ),
        (
            "many definitions",
            format!("{{ a }} {}", many(60, |n| format!("fragment F{n} on A {{ a }} "))),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "many mutations",
            format!("mutation {{ {} }}", "deleteUser ".repeat(11)),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "many pages of pages",
            "{ users(first: 100) { nodes { orders(first: 100) { nodes { customer { orders(first: 100) { nodes { id } } } } } } } }".to_owned(),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "lists of everything on a page",
            format!("{{ orders(first: 100) {{ nodes {{ {} }} }} }}", many(50, |n| format!("a{n}: items {{ productName }} "))),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "the types of the types of the types of the schema",
            "{ __schema { types { possibleTypes { interfaces { possibleTypes { name } } } } } }".to_owned(),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "two subscriptions in one",
            "subscription { a: orderUpdates { cursor } b: orderUpdates { cursor } }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "pages behind an interface",
            "{ nodes(ids: [1, 2, 3]) { ...U } } fragment U on User { orders(first: 100) { nodes { customer { orders(first: 100) { nodes { customer { name email id } } } } } } }".to_owned(),
            "QUERY_TOO_COMPLEX",
        ),
    ]
}

fn code(body: &Value) -> &str {
    let code = &body["errors"][0]["extensions"]["code"];
    code.as_str().unwrap_or_else(|| panic!("no code: {body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_document_is_refused_with_its_code_over_every_transport() {
    let api = Process::start(&[]).await;
    let url = format!("http://{}/graphql", api.addr);
    let client = tokens::client();
    let mut socket = Socket::open(api.addr).await;
    for (number, (what, document, expected)) in documents().into_iter().enumerate() {
        for (media_type, status) in [
            ("application/json", StatusCode::OK),
            ("application/graphql-response+json", StatusCode::BAD_REQUEST),
        ] {
            let request = client.post(&url).header(header::ACCEPT, media_type);
            let request = request.json(&json!({ "query": document }));
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), status, "{what}");
            let body: Value = answer.json().await.expect("JSON");
            assert_eq!(code(&body), expected, "{what}: {body}");
            assert!(body.get("data").is_none(), "{what} was run: {body}");
        }
        if document.len() < 8_000 {
            let mut url: reqwest::Url = url.parse().expect("a URL");
            url.query_pairs_mut().append_pair("query", &document);
            let answer = client.get(url).send().await.expect("an answer");
            let body: Value = answer.json().await.expect("JSON");
            // A mutation does not run by GET, whatever it asks for.
            assert!(
                [expected, "BAD_REQUEST"].contains(&code(&body)),
                "{what}: {body}"
            );
        }
        let id = number.to_string();
        socket.subscribe(&id, &document, json!({})).await;
        let errors = socket.refused(&id).await;
        assert_eq!(errors[0]["extensions"]["code"], expected, "{what}");
    }
    let (status, body) = api.post("{ __typename }").await.expect("an answer");
    assert_eq!(
        (status, &body["data"]["__typename"]),
        (StatusCode::OK, &json!("Query"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_deep_variables_are_refused_before_they_are_read() {
    let api = Process::start(&[]).await;
    let url = format!("http://{}/graphql", api.addr);
    let client = tokens::client();
    let mut socket = Socket::open(api.addr).await;
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for (number, variables) in [format!("[{}1]", "1,".repeat(10_000)), deep]
        .iter()
        .enumerate()
    {
        let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        let body = format!(r#"{{"query":"{query}","variables":{{"ids":{variables}}}}}"#);
        let request = client
            .post(&url)
            .header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(body.clone()).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(code(&answer), "VARIABLES_TOO_LARGE", "{answer}");
        let message = format!(r#"{{"id":"{number}","type":"subscribe","payload":{body}}}"#);
        socket.send_text(&message).await;
        let errors = socket.refused(&number.to_string()).await;
        assert_eq!(errors[0]["extensions"]["code"], "VARIABLES_TOO_LARGE");
        let mut url: reqwest::Url = url.parse().expect("a URL");
        let variables = format!(r#"{{"ids":{variables:.4500}}}"#);
        url.query_pairs_mut()
            .append_pair("query", query)
            .append_pair("variables", &variables);
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(
            code(&answer.json().await.expect("JSON")),
            "VARIABLES_TOO_LARGE"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_refused_however_they_are_written() {
    let api = Process::start(&[]).await;
    let url = format!("http://{}/graphql", api.addr);
    let one = r#"{"query":"{ __typename }"}"#;
    for batch in [
        format!("[{one},{one}]"),
        format!("[{}]", [one; 1_000].join(",")),
        format!(" \n[{one}]"),
        "[]".to_owned(),
        "[".repeat(100_000),
    ] {
        let request = tokens::client().post(&url);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(batch.clone()).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{batch:.50}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(code(&body), "BAD_REQUEST", "{batch:.50}");
    }
}

/// `MongoDB` would take them for questions of another kind.
#[tokio::test(flavor = "multi_thread")]
async fn operators_in_the_place_of_ids_reach_no_server() {
    let api = Process::start(&[]).await;
    let url = format!("http://{}/graphql", api.addr);
    let by_id = "query($id: ID!) { order(id: $id) { id } }";
    let by_email = "query($id: String) { users(filter: { email: $id }) { nodes { id } } }";
    for operator in [
        json!({ "$ne": null }),
        json!({ "$gt": "" }),
        json!({ "$where": "sleep(1000)" }),
        json!([{ "$ne": null }]),
    ] {
        for query in [by_id, by_email] {
            let body = json!({ "query": query, "variables": { "id": operator } });
            let answer = tokens::client().post(&url).json(&body).send().await;
            let body: Value = answer.expect("an answer").json().await.expect("JSON");
            assert!(body["data"].is_null(), "{operator}: {body}");
            let code = code(&body);
            // Neither of them is UNAVAILABLE, which is what a server would have been: there is none.
            assert!(
                ["GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"].contains(&code),
                "{operator}: {body}"
            );
        }
    }
    for (inline, expected) in [
        ("{ order(id: {$ne: null}) { id } }", "GRAPHQL_PARSE_FAILED"),
        (
            "{ order(id: {ne: null}) { id } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        let (_, body) = api.post(inline).await.expect("an answer");
        assert_eq!(code(&body), expected, "{inline}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_breaks_in_what_a_client_says_forge_no_line_of_the_log() {
    const FORGED: &str = "FORGED INFO api: all is well";
    let settings = [("LOG", "debug")];
    let mut api = Process::start_on("127.0.0.1", &settings, Stdio::piped()).await;
    let log = api.child.stderr.take().expect("its log");
    let reading = tokio::spawn(async move {
        let mut lines = BufReader::new(log).lines();
        let mut all = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            all.push(line);
        }
        all
    });
    let url = format!("http://{}/graphql", api.addr);
    for break_ in ["\r\n", "\n", "\r", "\u{2028}", "\u{1b}[2K\r"] {
        let said = format!("x{break_}{FORGED}");
        for body in [
            json!({ "query": said }),
            json!({ "query": format!("{{ order(id: {}) {{ id }} }}", json!(said)) }),
            json!({ "query": "query A { __typename }", "operationName": said }),
            json!({ "query": "query($id: ID!) { order(id: $id) { id } }", "variables": { "id": said } }),
            json!({ "query": "{ __typename }", "extensions": { "operationId": said } }),
        ] {
            let answer = tokens::client().post(&url).json(&body).send().await;
            assert!(answer.expect("an answer").status().is_success());
        }
        let mut socket = Socket::open(api.addr).await;
        socket.send(json!({ "type": said })).await;
        socket.closed().await;
    }
    assert!(api.is_alive().await);
    api.child.start_kill().expect("it runs");
    let log = reading.await.expect("no panic");
    assert!(log.len() > 1, "{log:?}");
    for line in log {
        let forged = line.split('\r').any(|part| part.starts_with(FORGED));
        assert!(!forged, "{line:?}");
    }
}

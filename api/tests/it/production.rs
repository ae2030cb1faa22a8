//! What the program keeps to itself in production, and shows in development: its schema, guesses at what was meant, and pages to explore
//! it with.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use shop_core::runtime::settings::KNOWN_SECRET;

use crate::process::Process;
use crate::shop::PATIENCE;
use crate::tokens;

/// The programs of production have one that is nobody else's.
const SECRET: &str = "a secret of this test, long enough for its hash";
const PRODUCTION: [(&str, &str); 4] = [
    ("ENV", "production"),
    ("JWT_SECRET", SECRET),
    ("JWT_ISSUER", "shop-development"),
    ("JWT_AUDIENCE", "shop"),
];
const DEVELOPMENT: [(&str, &str); 1] = [("ENV", "development")];

/// The program with nothing set that it need not be told, and an administrator of its own.
struct Api {
    process: Process,
    client: Client,
}

impl Api {
    async fn start(settings: &[(&str, &str)], secret: &str) -> Self {
        let claims = tokens::claims(tokens::ADMIN, "admin", 3_600_000);
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token");
        let client = Client::builder().timeout(PATIENCE);
        let client = client.default_headers(tokens::headers(&token)).build();
        Self {
            process: Process::start(settings).await,
            client: client.expect("a client"),
        }
    }

    async fn in_production() -> Self {
        Self::start(&PRODUCTION, SECRET).await
    }

    async fn in_development() -> Self {
        Self::start(&DEVELOPMENT, KNOWN_SECRET).await
    }

    async fn ask(&self, document: &str) -> Value {
        let url = format!("http://{}/graphql", self.process.addr);
        let request = self.client.post(url).json(&json!({ "query": document }));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{document}");
        answer.json().await.expect("JSON")
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("http://{}{path}", self.process.addr);
        self.client.get(url).send().await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_told_in_development_and_not_in_production() {
    let development = Api::in_development().await;
    let production = Api::in_production().await;
    for (document, field, known) in [
        ("{ __schema { types { name } } }", "__schema", "\"User\""),
        ("{ __type(name: \"User\") { name } }", "__type", "\"User\""),
        (
            "query { ...A } fragment A on Query { a: __schema { queryType { name } } }",
            "a",
            "\"Query\"",
        ),
    ] {
        let told = development.ask(document).await["data"].take();
        assert!(told.to_string().contains(known), "{told:#}");
        let answer = production.ask(document).await;
        assert_eq!(answer["data"], json!({ (field): null }), "{document}");
        assert!(!answer.to_string().contains(known), "{answer:#}");
    }
    let answer = production.ask("{ __typename }").await;
    assert_eq!(answer["data"], json!({ "__typename": "Query" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_is_guessed_in_development_and_not_in_production() {
    let development = Api::in_development().await;
    let production = Api::in_production().await;
    for (document, problem, meant) in [
        (
            "{ productz { nodes { id } } }",
            "Unknown field \"productz\" on type \"Query\".",
            "\"products\"",
        ),
        (
            "{ products { nodes { nam } } }",
            "Unknown field \"nam\" on type \"Product\".",
            "\"name\"",
        ),
        (
            "{ products(firs: 1) { nodes { id } } }",
            "Unknown argument \"firs\" on field \"products\" of type \"Query\".",
            "\"first\"",
        ),
    ] {
        for (api, is_guessed) in [(&development, true), (&production, false)] {
            let answer = api.ask(document).await;
            let error = &answer["errors"][0];
            let code = &error["extensions"]["code"];
            assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "{answer:#}");
            assert!(answer.get("data").is_none(), "{answer:#}");
            let message = error["message"].as_str().expect("a message");
            let guess = message.strip_prefix(problem).expect("what is wrong");
            assert_eq!(guess.contains(meant), is_guessed, "{message}");
            assert_eq!(guess.is_empty(), !is_guessed, "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_pages_and_tokens_for_them_in_development_and_none_in_production() {
    let development = Api::in_development().await;
    for path in ["/", "/playground"] {
        let page = development.get(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let content_type = &page.headers()[header::CONTENT_TYPE];
        assert_eq!(content_type, "text/html; charset=utf-8", "{path}");
    }
    let answer = development.get("/demo-tokens").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let handed_out: Value = answer.json().await.expect("JSON");
    for role in ["customer", "staff", "admin"] {
        assert!(handed_out[role].is_string(), "{role}");
    }

    let production = Api::in_production().await;
    for path in ["/", "/playground", "/demo-tokens", "/assets/index.html"] {
        let status = production.get(path).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

//! Keys that a login publishes at an address: tokens are taken by them, and what becomes of tokens while the address fails.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use shop_api::identity::{Denied, Verifier};
use shop_core::runtime::settings::{IdentitySettings, KeySource, TokenKeys};
use shop_core::testkit::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::documents::USERS;
use crate::shop::{Options, PATIENCE, Shop};
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// Longer than there is between two readings of keys that were read once.
const APART: Duration = Duration::from_secs(11);
/// How long a request may wait for keys, two seconds, and how late that may be on a busy machine.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes that no set of keys has.
const TOO_MANY_BYTES: usize = 256 * 1024;

/// A key of a login's.
struct Key {
    id: &'static str,
    key: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key");
        let key = EncodingKey::from_ed_der(pair.as_ref());
        Self { id, key }
    }

    /// Its public half.
    fn published(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::EdDSA).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = self.id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// An administrator's token that it signed.
    fn token(&self) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.to_owned());
        let claims = tokens::claims(tokens::ADMIN, "admin", 3_600_000);
        encode(&header, &claims, &self.key).expect("a token")
    }
}

/// What a login answers to who asks for its keys. Whoever overlooks what is wrong with it finds them.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// That they are these.
    Keys,
    /// That they are somewhere else.
    Elsewhere,
    /// That it failed.
    Failure,
    /// That they are these, and much more.
    TooMuch,
    /// Nothing, for ever.
    Nothing,
    /// The beginning, and then nothing, for ever.
    Half,
}

/// A login on a port of its own; stopped when dropped.
struct Login {
    url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    keys: Value,
    says: Mutex<Says>,
    /// How often somebody asked for the keys.
    asked: AtomicUsize,
    /// How often somebody went where they are said to be.
    followed: AtomicUsize,
}

impl Login {
    async fn open(key: &Key, says: Says) -> Self {
        let shared = Arc::new(Shared {
            keys: json!({ "keys": [key.published()] }),
            says: Mutex::new(says),
            asked: AtomicUsize::new(0),
            followed: AtomicUsize::new(0),
        });
        let routes: Router = Router::new()
            .route("/keys", get(keys))
            .route("/elsewhere", get(elsewhere))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self {
            url: format!("http://{addr}/keys"),
            shared,
            serving,
        }
    }

    fn says(&self) -> Says {
        *self.shared.says.lock().expect("no panic")
    }

    fn say(&self, says: Says) {
        *self.shared.says.lock().expect("no panic") = says;
    }

    fn followed(&self) -> usize {
        self.shared.followed.load(Ordering::Relaxed)
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    async fn asked_again(&self, before: usize) {
        eventually("somebody to ask for the keys", BOUND, async || {
            (self.asked() > before).then_some(())
        })
        .await;
    }

    /// How the API identifies who comes from here.
    fn identity(&self) -> IdentitySettings {
        let source = KeySource::Address(self.url.clone());
        IdentitySettings {
            keys: TokenKeys::Published(source),
            ..tokens::identity()
        }
    }

    fn options(&self) -> Options {
        Options {
            identity: Some(self.identity()),
            ..Options::default()
        }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keys(State(shared): State<Arc<Shared>>) -> axum::response::Response {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let says = *shared.says.lock().expect("no panic");
    let mut keys = shared.keys.clone();
    match says {
        Says::Keys => Json(keys).into_response(),
        Says::Elsewhere => Redirect::temporary("/elsewhere").into_response(),
        Says::Failure => {
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            (status, Json(keys)).into_response()
        }
        Says::TooMuch => {
            keys["padding"] = "x".repeat(TOO_MANY_BYTES).into();
            Json(keys).into_response()
        }
        Says::Nothing => std::future::pending().await,
        Says::Half => {
            let half = stream::once(async { Ok::<_, Infallible>(r#"{"keys":["#) });
            Body::from_stream(half.chain(stream::pending())).into_response()
        }
    }
}

async fn elsewhere(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.followed.fetch_add(1, Ordering::Relaxed);
    Json(shared.keys.clone())
}

/// The answer to who shows a token.
async fn shown(addr: SocketAddr, token: &str) -> Response {
    let client = Client::builder().timeout(PATIENCE).build();
    let request = client
        .expect("a client")
        .post(format!("http://{addr}/graphql"));
    let request = request.headers(tokens::headers(token));
    let sent = request.json(&json!({ "query": "{ __typename }" })).send();
    sent.await.expect("an answer")
}

/// Waits until a token is taken. Before that nobody can tell whether it is good.
async fn taken(addr: SocketAddr, token: &str) {
    eventually("the token to be taken", BOUND, async || {
        match shown(addr, token).await {
            answer if answer.status() == StatusCode::OK => Some(()),
            answer => {
                assert_unavailable(answer).await;
                None
            }
        }
    })
    .await;
}

/// Worth another try, and no word of where the keys are.
async fn assert_unavailable(answer: Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    let body: Value = answer.json().await.expect("JSON");
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["retryable"], true, "{body:#}");
    assert!(body.get("data").is_none(), "{body:#}");
    let message = error["message"].as_str().expect("a message");
    assert!(!message.contains("127.0.0.1"), "{message}");
}

/// What is wrong with a token that is not taken.
async fn refused(addr: SocketAddr, token: &str) -> String {
    let answer = shown(addr, token).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = answer.headers()[header::WWW_AUTHENTICATE].to_str();
    challenge.expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_published_key_signed_is_taken_and_no_other() {
    let key = Key::new("first");
    let login = Login::open(&key, Says::Keys).await;
    let shop = Shop::with(login.options()).await;
    taken(shop.addr, &key.token()).await;
    let answer = shop.ask_as(&key.token(), USERS, json!({})).await;
    assert!(answer["data"]["users"].is_object(), "{answer:#}");
    for (token, problem) in [
        (Key::new("first").token(), "signature is wrong"),
        (Key::new("second").token(), "key is not known"),
        (tokens::admin(), "algorithm is not accepted"),
    ] {
        let challenge = refused(shop.addr, &token).await;
        assert!(challenge.contains(problem), "{challenge}");
    }
}

/// While there are no keys the tokens that they signed are worth another try, and are taken soon after there are.
async fn is_closed_until_there_are_keys(login: &Login, addr: SocketAddr, token: &str) {
    login.asked_again(0).await;
    assert_unavailable(shown(addr, token).await).await;
    login.asked_again(1).await; // so the first reading is over
    assert_unavailable(shown(addr, token).await).await;
    assert_eq!(login.followed(), 0, "{:?}", login.says());
    login.say(Says::Keys);
    taken(addr, token).await;
    assert_eq!(login.followed(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_answers_something_else_lets_nobody_in_until_it_has_keys() {
    let key = Key::new("first");
    let shop = Shop::open().await;
    let mut cases = Vec::new();
    for says in [Says::Elsewhere, Says::Failure, Says::TooMuch] {
        let login = Login::open(&key, says).await;
        let copy = shop.copy_with(login.options()).await;
        cases.push((login, copy));
    }
    let token = key.token();
    let all = cases.iter();
    let all = all.map(|(login, copy)| is_closed_until_there_are_keys(login, copy.addr, &token));
    join_all(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_answer_makes_nobody_wait_for_long() {
    let key = Key::new("first");
    let shop = Shop::open().await;
    for says in [Says::Nothing, Says::Half] {
        let login = Login::open(&key, says).await;
        let copy = shop.copy_with(login.options()).await;
        login.asked_again(0).await;
        let token = key.token();
        let begun = Instant::now();
        for answer in join_all((0..4).map(|_| shown(copy.addr, &token))).await {
            assert_unavailable(answer).await;
        }
        let waited = begun.elapsed();
        assert!(waited < WITHIN, "{says:?}: {waited:?}");
    }
}

/// Has so much time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_that_were_read_stay_in_force_while_their_address_fails() {
    let (key, unknown) = (Key::new("first"), Key::new("second"));
    let login = Login::open(&key, Says::Keys).await;
    let verifier = Verifier::new(&login.identity());
    let reading = verifier.clone();
    let reading = tokio::spawn(async move { reading.run().await });
    let token = key.token();
    eventually("the keys to be read", BOUND, async || {
        verifier.verify(&token).await.ok()
    })
    .await;
    for says in [Says::Elsewhere, Says::Failure, Says::TooMuch] {
        let before = login.asked();
        login.say(says);
        pass(APART).await;
        // The key may be new: they are read before it is refused.
        let outcome = verifier.verify(&unknown.token()).await;
        assert_eq!(outcome, Err(Denied::UnknownKey), "{says:?}");
        login.asked_again(before).await;
        assert!(verifier.verify(&token).await.is_ok(), "{says:?}");
    }
    assert_eq!(login.followed(), 0);
    assert!(!reading.is_finished(), "it reads on");
}

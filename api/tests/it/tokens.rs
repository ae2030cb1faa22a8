//! Tokens as a login would sign them, with the secret that tests and development share.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use shop_core::runtime::Settings;
use shop_core::runtime::clock;
use shop_core::runtime::settings::{IdentitySettings, KNOWN_SECRET};

/// An administrator who is no user of the shop.
pub const ADMIN: &str = "user_01939f2e-7b1c-7def-8a34-00000000000a";
/// One of the staff, the same.
pub const STAFF: &str = "user_01939f2e-7b1c-7def-8a34-00000000000b";

/// How the API identifies when nothing is said.
pub fn identity() -> IdentitySettings {
    let settings = Settings::read(&|_| None);
    settings.expect("the defaults are valid").identity
}

/// Good claims, until so many milliseconds from now.
pub fn claims(user: &str, role: &str, good_for_ms: i64) -> Value {
    let now = clock::now().millis();
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of this century are exact enough"
    )]
    let until = (now + good_for_ms) as f64 / 1_000.0;
    json!({
        "sub": user,
        "iss": "shop-development",
        "aud": "shop",
        "iat": now / 1_000,
        "exp": until,
        "role": role,
    })
}

pub fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_secret(KNOWN_SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

/// A token that lasts longer than any test.
pub fn token(user: &str, role: &str) -> String {
    sign(&claims(user, role, 24 * 3_600_000))
}

pub fn admin() -> String {
    token(ADMIN, "admin")
}

pub fn staff() -> String {
    token(STAFF, "staff")
}

/// A customer's, by the id of its user in JSON.
pub fn customer(user: &Value) -> String {
    token(user.as_str().expect("an id"), "customer")
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A client that shows an administrator's token.
pub fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().default_headers(headers(&admin()));
    client.build().expect("a client")
}

/// Headers that show a token.
pub fn headers(token: &str) -> HeaderMap {
    let mut value = HeaderValue::from_str(&bearer(token)).expect("a header");
    value.set_sensitive(true);
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

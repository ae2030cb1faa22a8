//! The tokens by which clients say who they are, signed here as an identity provider signs them.
//!
//! A token that lasts is signed once for each user, however many requests carry it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;
use uuid::Uuid;

use crate::clock::now_ms;

const SECRET: &str = "development-secret-that-everybody-knows";
const ISSUER: &str = "shop-development";
const AUDIENCE: &str = "shop";
/// The settings by which the programs believe these tokens: their own in development, whatever the lab's environment says.
pub const SETTINGS: [(&str, &str); 4] = [
    ("JWT_SECRET", SECRET),
    ("JWT_ISSUER", ISSUER),
    ("JWT_AUDIENCE", AUDIENCE),
    ("JWT_ROLE_CLAIM", "role"),
];
/// How long a token lasts: longer than any run.
const DAY: Duration = Duration::from_hours(24);
/// Who administers; no user of the shop.
const ADMIN: Uuid = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_00ad);
/// Who works there; no user of the shop either.
const STAFF: Uuid = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0057);

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Customer,
    Staff,
    Admin,
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    iss: &'static str,
    aud: &'static str,
    iat: i64,
    exp: i64,
    role: Role,
}

/// A signed token. A copy is the same text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Of somebody who may do everything; valid for a day, as the next two are.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn admin() -> anyhow::Result<Self> {
        Self::lasting(Role::Admin, ADMIN)
    }

    /// Of somebody who looks after everybody's orders.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn staff() -> anyhow::Result<Self> {
        Self::lasting(Role::Staff, STAFF)
    }

    /// Of a user, for what is the user's own.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn customer(user: Uuid) -> anyhow::Result<Self> {
        Self::lasting(Role::Customer, user)
    }

    /// Of a user, for so long, and up to a second longer since tokens run out at whole seconds. Out: when it does, too.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn short(user: Uuid, life: Duration) -> anyhow::Result<(Self, Instant)> {
        sign(Role::Customer, user, life)
    }

    fn lasting(role: Role, user: Uuid) -> anyhow::Result<Self> {
        static SIGNED: LazyLock<Mutex<HashMap<(Role, Uuid), Token>>> =
            LazyLock::new(Mutex::default);
        // A panic elsewhere leaves a table that is still a table.
        let mut signed = SIGNED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = signed.get(&(role, user)) {
            return Ok(token.clone());
        }
        let (token, _) = sign(role, user, DAY)?;
        signed.insert((role, user), token.clone());
        Ok(token)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the header `Authorization`, and of `authorization` in the payload of `connection_init`.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token") // whoever has the text has the rights
    }
}

fn sign(role: Role, user: Uuid, life: Duration) -> anyhow::Result<(Token, Instant)> {
    let (now, moment) = (now_ms(), Instant::now());
    let end = now + i64::try_from(life.as_millis())?;
    let exp = (end + 999) / 1_000;
    let claims = Claims {
        sub: format!("user_{user}"),
        iss: ISSUER,
        aud: AUDIENCE,
        iat: now / 1_000,
        exp,
        role,
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let text = encode(&Header::default(), &claims, &key);
    let text = text.with_context(|| format!("failed to sign a token of user_{user}"))?;
    let left = u64::try_from(exp * 1_000 - now)?;
    Ok((Token(text.into()), moment + Duration::from_millis(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_token_is_signed_once_and_nobody_else_s() {
        let user = Uuid::from_u128(7);
        let token = Token::customer(user).expect("signed");
        let again = Token::customer(user).expect("signed");
        assert!(Arc::ptr_eq(&token.0, &again.0));
        assert_ne!(token, Token::customer(Uuid::from_u128(8)).expect("signed"));
        assert_ne!(token, Token::staff().expect("signed"));
        assert_ne!(
            Token::admin().expect("signed"),
            Token::staff().expect("signed")
        );
    }

    #[test]
    fn a_token_says_nothing_in_logs() {
        let token = Token::admin().expect("signed");
        assert_eq!(format!("{token:?}"), "Token");
        assert_eq!(token.bearer(), format!("Bearer {}", token.as_str()));
    }

    #[test]
    fn a_short_token_runs_out_at_a_whole_second_and_not_before_its_time() {
        let (before, life) = (Instant::now(), Duration::from_secs(5));
        let (_, end) = Token::short(Uuid::from_u128(7), life).expect("signed");
        let lasts = end - before;
        assert!(lasts >= life && lasts <= life + Duration::from_millis(1_100));
    }
}

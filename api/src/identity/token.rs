//! A token: where it is, what it says, and why it is not taken.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;
use shop_core::domain::{Timestamp, UserId};

use super::{Caller, Role};

/// Bytes of a token, at most. Longer ones are not looked at.
pub const MOST_BYTES: usize = 8 * 1024;
/// How far the issuer's clock may be ahead of this one, for tokens that are not good yet.
const AHEAD_MILLIS: i64 = 5_000;
/// What stands before a token.
const SCHEME: &str = "bearer";

/// Why somebody is not let in, in words for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token.
    #[error("a token is needed: Authorization: Bearer <token>, or the same in connection_init")]
    Missing,
    /// There is something else in its place.
    #[error("the credentials are no bearer token")]
    NotBearer,
    /// It is longer than any token.
    #[error("the token is too long")]
    TooLong,
    /// It is no JSON Web Token.
    #[error("the token can not be read")]
    Malformed,
    /// It is signed in a way that is not taken.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// It names no key that is known here.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Somebody else signed it.
    #[error("the token's signature is wrong")]
    Signature,
    /// Somebody else issued it.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is not for this service")]
    Audience,
    /// It names no user.
    #[error("the token's subject is no user: expected user_<uuid>")]
    Subject,
    /// It is not good yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// It ran out.
    #[error("the token has expired")]
    Expired,
    /// It is another user's than the one before it.
    #[error("the fresh token is another user's")]
    OtherUser,
    /// The keys are away, so nobody can tell.
    #[error("tokens can not be verified at the moment; try again")]
    Unavailable,
}

impl Denied {
    /// The word that is counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotBearer => "not_bearer",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::NotYet => "not_yet",
            Self::Expired => "expired",
            Self::OtherUser => "other_user",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The token of a request's headers.
///
/// # Errors
/// If there is none, or something else.
pub fn in_header(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let first = given.next().ok_or(Denied::Missing)?;
    if given.next().is_some() {
        return Err(Denied::NotBearer);
    }
    bare(first.to_str().map_err(|_| Denied::NotBearer)?)
}

/// What is read of the payload of `connection_init` or `ping`. Clients write headers there as they would elsewhere.
#[derive(Default, Deserialize)]
struct Payload {
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
    headers: Option<Headers>,
}

#[derive(Deserialize)]
struct Headers {
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
}

/// The token of a socket's message, if it has one.
///
/// # Errors
/// If there is something else in its place.
pub fn in_payload(payload: &str) -> Result<Option<String>, Denied> {
    let payload: Option<Payload> = serde_json::from_str(payload).map_err(|_| Denied::NotBearer)?;
    let payload = payload.unwrap_or_default();
    let nested = payload.headers.and_then(|headers| headers.authorization);
    let given = payload.authorization.or(nested);
    given.map(|text| bare(&text).map(str::to_owned)).transpose()
}

fn bare(text: &str) -> Result<&str, Denied> {
    let (scheme, token) = text.trim().split_once(' ').ok_or(Denied::NotBearer)?;
    let token = token.trim_start();
    if !scheme.eq_ignore_ascii_case(SCHEME) || token.is_empty() {
        return Err(Denied::NotBearer);
    }
    if token.len() > MOST_BYTES {
        return Err(Denied::TooLong);
    }
    Ok(token)
}

/// What a token that is signed says. Issuer and audience are checked with the signature, times here: they count to the
/// millisecond.
#[derive(Debug, Deserialize)]
pub struct Claims {
    sub: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl Claims {
    /// Who they name, as of now.
    ///
    /// # Errors
    /// If they are not good now, or name nobody.
    pub fn caller(&self, now: Timestamp, role_claim: &str) -> Result<Caller, Denied> {
        let until = millis(self.exp);
        if until <= now {
            return Err(Denied::Expired);
        }
        let from = self.nbf.map(millis);
        if from.is_some_and(|from| from.millis() > now.millis().saturating_add(AHEAD_MILLIS)) {
            return Err(Denied::NotYet);
        }
        let user: Option<UserId> = self.sub.as_deref().and_then(|sub| sub.parse().ok());
        Ok(Caller {
            user: user.ok_or(Denied::Subject)?,
            role: self.role(role_claim),
            until,
        })
    }

    /// The greatest role that is named; a customer's if none is.
    fn role(&self, claim: &str) -> Role {
        let whole = self.others.get(claim); // some have dots in their names
        let mut names = claim.split('.');
        let first = names.next().and_then(|name| self.others.get(name));
        let nested = names.fold(first, |found, name| found?.get(name));
        let found = whole.or(nested);
        let says = |role: &Role| match found {
            Some(Value::String(word)) => word == role.word(),
            Some(Value::Array(words)) => words.iter().any(|word| word == role.word()),
            _ => false,
        };
        let greatest = Role::ALL.into_iter().rev().find(says);
        greatest.unwrap_or(Role::Customer)
    }
}

/// Seconds since 1970, as tokens have them. What is beyond the calendar is cut off at its end.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from a float stops at the ends of an integer"
)]
fn millis(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0) as i64)
}

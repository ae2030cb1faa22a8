//! Once per idempotency key: a command's effect, its key and its answer commit together.
//!
//! A command claims its key first, before any other lock, and keeps its answer last. A retry gets the answer as it was,
//! whatever became of the thing since. A refusal rolls the claim back, so a retry of what was refused is judged anew.

use sha2::{Digest as _, Sha256};

use super::outcome::{self, Outcome};
use super::{Call, CommandError};
use crate::db::Conn;
use crate::db::idempotency::{self, Claim};
use crate::domain::Refusal;
use crate::domain::refusal::path;

/// What a command asks for, as a number that is the same for every way of asking for the same: made of the fields that
/// are given, by name, so that a field that is added later changes nothing for commands that lack it.
#[derive(Debug, Clone)]
pub(super) struct Request(Sha256);

impl Request {
    /// Of the mutation with this name.
    pub fn new(mutation: &str) -> Self {
        Self(Sha256::new()).with("mutation", mutation)
    }

    /// With a field.
    pub fn with(mut self, name: impl std::fmt::Display, value: impl std::fmt::Display) -> Self {
        for part in [name.to_string(), value.to_string()] {
            self.0.update((part.len() as u64).to_be_bytes()); // so that no part runs into the next
            self.0.update(part);
        }
        self
    }

    /// With a field that may be left out.
    pub fn with_some(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Claims the call's key, if it has one. The answer, if the same was asked before.
pub(super) async fn answered<T: Outcome>(
    tx: &mut Conn,
    call: &Call,
    request: &Request,
) -> Result<Option<T>, CommandError> {
    let Some(key) = &call.key else {
        return Ok(None);
    };
    let request = request
        .clone()
        .with_some("expectedVersion", call.expected_version);
    let field = || path([&"idempotencyKey"]);
    match idempotency::claim(tx, key, &request.0.finalize().into()).await? {
        Claim::New => Ok(None),
        Claim::Answered(bytes) => Ok(Some(outcome::read(&bytes)?)),
        Claim::OtherRequest => Err(Refusal::IdempotencyKeyReused { path: field() }.into()),
        Claim::InFlight => Err(Refusal::IdempotencyKeyInUse { path: field() }.into()),
    }
}

/// Keeps the answer under the call's key, if it has one.
pub(super) async fn keep<T: Outcome>(
    tx: &mut Conn,
    call: &Call,
    answer: T,
) -> Result<T, CommandError> {
    if let Some(key) = &call.key {
        idempotency::keep(tx, key, &outcome::write(&answer)).await?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(request: Request) -> [u8; 32] {
        request.0.finalize().into()
    }

    #[test]
    fn the_same_is_the_same_number_and_anything_else_is_another() {
        let request = || Request::new("payOrder").with("method", "card");
        assert_eq!(hash(request()), hash(request()));
        assert_eq!(
            hash(request().with_some("reason", None::<&str>)),
            hash(request())
        );
        let others = [
            Request::new("cancelOrder").with("method", "card"),
            Request::new("payOrder").with("methodc", "ard"),
            Request::new("payOrder").with("method", "cards"),
            request().with_some("reason", Some("")),
            Request::new("payOrder"),
        ];
        for other in others {
            assert_ne!(hash(other), hash(request()));
        }
    }

    /// A retry may reach a newer version of the program than the first try did.
    #[test]
    fn the_number_stays_what_it_is() {
        let request = Request::new("payOrder").with("method", "card");
        assert_eq!(
            idempotency::hexadecimal(&hash(request)),
            "a1629b050f0964c75e35b6f04a90007841ff387d236d3f4c5fba5e5a245ffc28"
        );
    }
}

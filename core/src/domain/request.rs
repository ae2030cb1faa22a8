//! Who asks, and under which key the same thing may be asked again.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{Order, UserId};

/// Whoever a request comes from; its idempotency keys are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal(UserId);

impl From<UserId> for Principal {
    fn from(user: UserId) -> Self {
        Self(user)
    }
}

/// The word that tables use: ASCII, at most 64 characters.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose things a request reaches. What lies beyond does not exist for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everybody's.
    Everything,
    /// One user's: the user itself, and its orders.
    Of(UserId),
}

impl Scope {
    /// Whether this user's things are reached.
    pub fn has(self, user: UserId) -> bool {
        match self {
            Self::Everything => true,
            Self::Of(own) => own == user,
        }
    }

    /// Whether an order is reached: its customer's things are.
    pub fn has_order(self, order: &Order) -> bool {
        self.has(order.customer_id)
    }
}

/// A key that a client makes for one change, so that it can send the change again without having it made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey(Uuid);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a UUID of your own making, such as 01939f2e-7b1c-7def-8a34-5b6c7d8e9f01, and not the one that is all zeros"
)]
pub struct InvalidRequestKey;

impl RequestKey {
    /// The key that is this uuid.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The bare uuid, as tables hold it.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RequestKey {
    type Err = InvalidRequestKey;

    fn from_str(text: &str) -> Result<Self, InvalidRequestKey> {
        Some(text)
            .filter(|text| text.len() == 36) // the hyphenated form only: one key, one spelling
            .and_then(|text| Uuid::try_parse(text).ok())
            .filter(|uuid| !uuid.is_nil()) // what is left of a key that was forgotten
            .map(Self)
            .ok_or(InvalidRequestKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_uuid_in_its_usual_form_whatever_its_version_and_case() {
        let text = "01939f2e-7b1c-4def-8a34-5b6c7d8e9f01";
        let key: RequestKey = text.parse().expect("a key");
        assert_eq!(key.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(key));
        for bad in [
            "",
            "1",
            "01939f2e7b1c4def8a345b6c7d8e9f01",
            "00000000-0000-0000-0000-000000000000",
            "order_01939f2e-7b1c-4def-8a34-5b6c7d8e9f01",
        ] {
            assert_eq!(bad.parse::<RequestKey>(), Err(InvalidRequestKey), "{bad}");
        }
    }
}

//! Who asks: the tokens that clients show, what verifies them, and what a caller may reach.
//!
//! `token` reads a token, `keys` and `published` are what it is verified with, [`Identity`] is who a connection belongs to as
//! long as it lasts. What each role may do is data, in `graphql::rules`. A cookie is never a credential.

pub mod demo;
mod keys;
mod published;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod verifier;

use std::sync::{Arc, Mutex, PoisonError};

use shop_core::domain::{Scope, Timestamp, UserId};
use shop_core::runtime::clock;

pub use token::{Denied, in_header, in_payload};
pub use verifier::Verifier;

/// What somebody may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Buys.
    Customer,
    /// Moves orders along.
    Staff,
    /// Manages users and products.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::Admin];

    /// The word that tokens use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }
}

/// Whoever a verified token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// Until when: the token runs out at this moment.
    pub until: Timestamp,
}

impl Caller {
    /// Whose things are reached where everybody's are from a role on.
    pub fn scope(&self, everything_from: Role) -> Scope {
        if self.role >= everything_from {
            Scope::Everything
        } else {
            Scope::Of(self.user)
        }
    }
}

/// Who a connection belongs to; a fresh token may be shown while it lasts. Clones share it.
#[derive(Debug, Clone)]
pub struct Identity(Arc<Mutex<Caller>>);

impl From<Caller> for Identity {
    fn from(caller: Caller) -> Self {
        Self(Arc::new(Mutex::new(caller)))
    }
}

impl Identity {
    /// Who it is now.
    pub fn caller(&self) -> Caller {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with a fresh token, which must be the same user's. What it allows holds from the next answer on.
    ///
    /// # Errors
    /// [`Denied::OtherUser`].
    pub fn renew(&self, fresh: Caller) -> Result<(), Denied> {
        let mut caller = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if caller.user != fresh.user {
            return Err(Denied::OtherUser);
        }
        *caller = fresh;
        Ok(())
    }

    /// Whether its token has run out.
    pub fn is_over(&self) -> bool {
        clock::now() >= self.caller().until
    }

    /// How long its token is good for.
    pub fn left(&self) -> std::time::Duration {
        let left = self.caller().until.millis() - clock::now().millis();
        std::time::Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

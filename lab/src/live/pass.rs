//! What a subscriber shows to say who it is.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::client::{Shop, Token};

/// What it shows.
#[derive(Debug, Clone)]
pub enum Pass {
    /// One token for all of its connections.
    Lasting(Token),
    /// Tokens that run out soon; the next one is shown over the open connection.
    Renewed {
        /// Whose.
        user: Uuid,
        /// How long each is good for.
        life: Duration,
        /// How long after one the next is shown, in milliseconds: chosen by chance, so that not all come in the same moment.
        after: RangeInclusive<u64>,
    },
}

impl Pass {
    /// That of an order's buyer.
    ///
    /// # Errors
    /// If the order was not placed by this client.
    pub fn of_buyer(shop: &Shop, order: Uuid) -> anyhow::Result<Self> {
        Ok(Self::Lasting(shop.buyer(order)?))
    }

    /// The token to show now.
    ///
    /// # Errors
    /// If it can not be signed.
    pub fn token(&self) -> anyhow::Result<Token> {
        match self {
            Self::Lasting(token) => Ok(token.clone()),
            Self::Renewed { user, life, .. } => Ok(Token::short(*user, *life)?.0),
        }
    }

    /// When the next one is to be shown, if one was shown now.
    pub fn next(&self) -> Option<Instant> {
        match self {
            Self::Lasting(_) => None,
            Self::Renewed { after, .. } => {
                let after = Duration::from_millis(fastrand::u64(after.clone()));
                Some(Instant::now() + after)
            }
        }
    }
}

/// Waits for this moment; for ever if there is none.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

//! How an order got where it is, and how it stood before.

use super::Order;
use crate::domain::{OrderStatus, Timestamp, Version};

/// Who brought a change about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The customer.
    Customer,
    /// Somebody who works for the shop.
    Staff,
    /// One of our programs.
    System,
}

impl Actor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Staff, Self::System];

    /// The word that tables, events and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Staff => "STAFF",
            Self::System => "SYSTEM",
        }
    }

    /// The actor of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|actor| actor.as_str() == word)
    }
}

/// One change of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The version that the change made.
    pub version: Version,
    /// The status before; `None` for the first.
    pub from: Option<OrderStatus>,
    /// The status after; equal to `from` where only a payment or the deletion was noted.
    pub to: OrderStatus,
    /// Why, in words.
    pub reason: Option<String>,
    /// Who.
    pub actor: Actor,
    /// When; never earlier than the entry before.
    pub at: Timestamp,
}

impl Order {
    /// The order as it stood at an earlier version; `None` for a version it has not (yet) had.
    pub fn at_version(&self, version: Version) -> Option<Self> {
        let count = self
            .timeline
            .iter()
            .position(|entry| entry.version == version)?
            + 1;
        let mut earlier = self.clone();
        earlier.timeline.truncate(count);
        let last = earlier.timeline.last()?;
        earlier.version = version;
        earlier.status = last.to;
        earlier.updated_at = last.at;
        earlier
            .payments
            .retain(|payment| payment.recorded_version <= version);
        for payment in &mut earlier.payments {
            payment.refund_due_version = payment.refund_due_version.filter(|due| *due <= version);
        }
        if earlier.status != OrderStatus::Rejected {
            earlier.shortages.clear();
        }
        earlier.deleted = self.deleted && version == self.version;
        Some(earlier)
    }

    /// The order as it stood at a time: the newest version that was there by then; `None` before it was placed.
    pub fn at_time(&self, at: Timestamp) -> Option<Self> {
        let entries = self.timeline.iter();
        let last = entries.take_while(|entry| entry.at <= at).last()?;
        self.at_version(last.version)
    }
}

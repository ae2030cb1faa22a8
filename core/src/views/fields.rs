//! The parts that documents share, and how they are read: as strictly as anything from outside.

use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};

use super::ViewError;
use crate::domain::{Money, Timestamp, Version};

/// An amount of money.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MoneyFields {
    pub minor: i64,
    pub currency: String,
}

impl From<Money> for MoneyFields {
    fn from(money: Money) -> Self {
        Self {
            minor: money.minor,
            currency: money.currency.code().to_owned(),
        }
    }
}

/// What is left of a deleted document.
#[derive(Debug, Serialize)]
pub(super) struct Tombstone {
    #[serde(rename = "_id")]
    pub id: Uuid,
    pub version: i64,
    pub deleted: bool,
    pub created_at: DateTime,
    pub updated_at: DateTime,
}

impl Tombstone {
    pub fn new(id: uuid::Uuid, version: Version, created: Timestamp, updated: Timestamp) -> Self {
        Self {
            id: bson_uuid(id),
            version: version.into(),
            deleted: true,
            created_at: date(created),
            updated_at: date(updated),
        }
    }
}

pub(super) fn bson_uuid(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(id.into_bytes())
}

pub(super) fn uuid(id: Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(id.bytes())
}

pub(super) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.millis())
}

pub(super) fn timestamp(at: DateTime) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

/// Reads the fields of one collection's documents and names the collection when one makes no sense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader(pub &'static str);

impl Reader {
    pub fn corrupt(self, what: &'static str) -> ViewError {
        ViewError::Corrupt {
            collection: self.0,
            what,
        }
    }

    /// A count or version: they are stored as 64 bits, the only whole number every reader agrees on.
    pub fn count(self, number: i64, what: &'static str) -> Result<u32, ViewError> {
        u32::try_from(number).map_err(|_| self.corrupt(what))
    }

    pub fn money(self, money: &MoneyFields) -> Result<Money, ViewError> {
        let currency = money
            .currency
            .parse()
            .map_err(|_| self.corrupt("a currency"))?;
        Ok(Money {
            minor: money.minor,
            currency,
        })
    }
}

/// A text as a search and a sort without case compare it. Character by character: what is lower-cased as a whole
/// depends on the neighbours (Greek final sigma), and then a part would not be found in the whole.
pub(super) fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

//! Which keys a verb is about, and how they are called.

use shop_core::db::parked::State;
use shop_core::db::parked::operator::{Filter, ParkedKey, keys};
use shop_core::domain::Timestamp;
use shop_core::events::Source;
use time::format_description::well_known::Rfc3339;

use crate::ops::{Desk, OpsError};

/// Keys at once, at most.
pub const MOST_KEYS: usize = 1_000;

/// The prefixes with which the API shows ids; in the log they have none.
const ID_PREFIXES: [&str; 3] = ["order_", "product_", "user_"];

/// What a verb is about.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// A key, or one of its records as topic/partition/offset
    pub key: String,
    /// Only what this consumer could not handle
    #[arg(long)]
    pub consumer: Option<String>,
}

impl Selection {
    /// The record that is named, if one is.
    pub fn record(&self) -> Option<Source> {
        let mut parts = self.key.split('/');
        let source = Source {
            topic: parts.next()?.parse().ok()?,
            partition: parts.next()?.parse().ok()?,
            offset: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(source)
    }

    /// The keys that are meant.
    ///
    /// # Errors
    /// [`OpsError::Refused`] if there is none.
    pub async fn find(&self, desk: &Desk) -> Result<Vec<ParkedKey>, OpsError> {
        let of = self.record();
        let filter = Filter {
            consumer: self.consumer.clone(),
            key: of.is_none().then(|| bytes(&self.key)),
            of,
        };
        let found = find(desk, &filter).await?;
        if found.is_empty() {
            let what = of.map_or("key", |_| "record");
            let whose = self
                .consumer
                .as_ref()
                .map_or_else(String::new, |consumer| format!(" for {consumer}"));
            let line = format!("no {what} {} is parked{whose}", self.key);
            return Err(OpsError::refused(line));
        }
        Ok(found)
    }
}

/// The keys that a filter lets through.
///
/// # Errors
/// If MySQL is away.
pub async fn find(desk: &Desk, filter: &Filter) -> Result<Vec<ParkedKey>, OpsError> {
    let found = desk
        .db
        .transaction("ops_dlq", async |tx| keys(tx, filter, MOST_KEYS).await);
    Ok(found.await?)
}

/// A key as it is in the log.
fn bytes(word: &str) -> Vec<u8> {
    if let Some(bytes) = word.strip_prefix("0x").and_then(from_hex) {
        return bytes;
    }
    let id = ID_PREFIXES
        .iter()
        .find_map(|prefix| word.strip_prefix(prefix));
    id.unwrap_or(word).as_bytes().to_vec()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// How a key is called.
pub fn word(key: Option<&[u8]>) -> String {
    let Some(key) = key else {
        return "(no key)".to_owned();
    };
    match std::str::from_utf8(key) {
        Ok("") => "(empty key)".to_owned(),
        // A text that looks like bytes is called by its bytes.
        Ok(text)
            if !text.starts_with("0x")
                && text.chars().all(|c| !c.is_control() && !c.is_whitespace()) =>
        {
            text.to_owned()
        }
        _ => key
            .iter()
            .fold("0x".to_owned(), |word, byte| word + &format!("{byte:02x}")),
    }
}

/// How a record is called.
pub fn place(source: Source) -> String {
    format!("{}/{}/{}", source.topic, source.partition, source.offset)
}

/// Where a record is on its way, in words.
pub fn status(state: State, tries: u32, next_try_at: Option<Timestamp>) -> String {
    match state {
        State::Behind => "waits".to_owned(),
        State::Dead => format!("dead after {tries} tries"),
        State::Failing => {
            let next = next_try_at.map_or_else(|| "soon".to_owned(), moment);
            format!("failing, {tries} tries, next {next}")
        }
    }
}

/// A point in time.
pub fn moment(at: Timestamp) -> String {
    at.to_datetime().format(&Rfc3339).unwrap_or_default()
}

/// A number of records, in words.
pub fn count(records: i64) -> String {
    match records {
        1 => "1 record".to_owned(),
        many => format!("{many} records"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_called_so_that_they_are_found_again() {
        for key in [
            &b"0199-77"[..],
            b"caf\xc3\xa9",
            b"\x00\xff",
            b"two words",
            b"0x",
        ] {
            assert_eq!(bytes(&word(Some(key))), key, "{key:?}");
        }
        assert_eq!(bytes("order_0199-77"), b"0199-77");
        assert_eq!(bytes("0x123"), b"0x123", "no bytes, so it is a text");
        assert_eq!(bytes("0xé1"), "0xé1".as_bytes());
    }

    #[test]
    fn a_record_is_named_by_its_place() {
        let record = |key: &str| {
            let selection = Selection {
                key: key.to_owned(),
                consumer: None,
            };
            selection.record().map(place)
        };
        assert_eq!(record("orders/2/17").as_deref(), Some("orders/2/17"));
        for key in [
            "orders/2",
            "orders/2/17/3",
            "letters/2/17",
            "orders/a/17",
            "",
        ] {
            assert_eq!(record(key), None, "{key}");
        }
    }
}

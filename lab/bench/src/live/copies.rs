//! Ten thousand orders out of one: the order's id is put in its place wherever it stands. What else is in a document or a record is not
//! looked at.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use uuid::Uuid;

/// The lower bits of an id, which tell copies apart.
const NUMBER: u128 = (1 << 48) - 1;

/// An order that went through the programs.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// Which.
    pub order: Uuid,
    /// Whose.
    pub customer: Uuid,
    /// Its document in the view at version 1, in BSON.
    pub document: Vec<u8>,
    /// Its records of `order-status`, by version.
    pub records: BTreeMap<u32, Record>,
}

/// A record without its key, which is the order's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub value: String,
}

impl Record {
    /// The version that it tells.
    pub fn version(&self) -> anyhow::Result<u32> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(name, _)| name == "aggregate_version");
        let (_, version) = found.context("a record without a version")?;
        Ok(version.parse()?)
    }
}

impl Template {
    /// The id of a copy.
    pub fn id_of(&self, copy: usize) -> Uuid {
        numbered(self.order, copy as u128)
    }

    /// The same as the API spells it.
    pub fn public_id_of(&self, copy: usize) -> String {
        format!("order_{}", self.id_of(copy))
    }

    /// The document of a copy.
    pub fn document_of(&self, copy: usize) -> anyhow::Result<Vec<u8>> {
        let document = with_id(&self.document, self.order, self.id_of(copy));
        ensure!(
            document != self.document,
            "the document does not name its order"
        );
        Ok(document)
    }

    /// The record of a copy's version. Its event has an id of its own.
    pub fn record_of(&self, copy: usize, version: u32) -> anyhow::Result<Record> {
        let record = self.records.get(&version);
        let record = record.with_context(|| format!("there is no version {version}"))?;
        let (old, new) = (self.order.to_string(), self.id_of(copy).to_string());
        let header = |(name, value): &(String, String)| -> anyhow::Result<(String, String)> {
            let value = if name == "ce_id" {
                let number = (copy as u128) << 8 | u128::from(version);
                numbered(Uuid::try_parse(value)?, number).to_string()
            } else {
                value.replace(&old, &new)
            };
            Ok((name.clone(), value))
        };
        Ok(Record {
            headers: record
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, _>>()?,
            value: record.value.replace(&old, &new),
        })
    }
}

/// The id with a number in its lower bits.
fn numbered(id: Uuid, number: u128) -> Uuid {
    Uuid::from_u128(id.as_u128() & !NUMBER | number & NUMBER)
}

/// The bytes with another id wherever one stands.
fn with_id(bytes: &[u8], old: Uuid, new: Uuid) -> Vec<u8> {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let mut copy = bytes.to_vec();
    let mut from = 0;
    while let Some(found) = copy[from..].windows(old.len()).position(|part| part == old) {
        let (begin, end) = (from + found, from + found + old.len());
        copy[begin..end].copy_from_slice(new);
        from = end;
    }
    copy
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn template() -> Template {
        let order: Uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01"
            .parse()
            .expect("an id");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let record = Record {
            headers: vec![
                header("ce_id", "01939f2e-7b1c-8def-8a34-5b6c7d8e9f09"),
                header("ce_subject", &order.to_string()),
                header("aggregate_version", "2"),
            ],
            value: format!("{{\"id\":\"{order}\",\"version\":2}}"),
        };
        let mut document = b"id: ".to_vec();
        document.extend(order.as_bytes());
        Template {
            order,
            customer: Uuid::from_u128(1),
            document,
            records: BTreeMap::from([(2, record)]),
        }
    }

    #[test]
    fn a_copy_is_another_order_everywhere() {
        let template = template();
        let old = template.order;
        let id = template.id_of(7).to_string();
        let document = template.document_of(7).expect("a document");
        assert_eq!(&document[4..], template.id_of(7).as_bytes());
        let record = template.record_of(7, 2).expect("a record");
        assert_eq!(record.version().expect("a version"), 2);
        assert_eq!(record.headers[1].1, id);
        assert!(record.value.contains(&id) && !record.value.contains(&old.to_string()));
        assert!(template.record_of(7, 3).is_err());
    }

    #[test]
    fn no_two_copies_share_an_order_or_an_event() {
        let template = template();
        let mut ids = BTreeSet::new();
        for copy in 0..300 {
            let record = template.record_of(copy, 2).expect("a record");
            assert!(ids.insert(record.headers[0].1.clone()));
            assert!(ids.insert(template.id_of(copy).to_string()));
        }
    }
}

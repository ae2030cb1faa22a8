//! A record as it is in the log, readable or not: what is parked and what becomes a dead letter.

use prost::Message;

use super::{DecodeError, Event, Topic};

/// Key, headers and value, byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Its key. Having none is not the same as having an empty one.
    pub key: Option<Vec<u8>>,
    /// Names and values in their order; a name may come more than once.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its value; a record without one is a tombstone elsewhere, and poison here.
    pub value: Option<Vec<u8>>,
}

/// One header, as [`RawRecord::encode_headers`] writes it.
#[derive(Clone, PartialEq, Eq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Headers {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Header>,
}

impl RawRecord {
    /// The value of the first header of a name, if it is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// Its value; empty if there is none.
    pub fn value(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// How many bytes it has, about.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        self.key.as_ref().map_or(0, Vec::len) + self.value().len() + headers.sum::<usize>()
    }

    /// Reads it as an event of a topic.
    ///
    /// # Errors
    /// See [`Event::decode`].
    pub fn decode(&self, topic: Topic) -> Result<Event, DecodeError> {
        Event::decode(topic, |name| self.header(name), self.value())
    }

    /// The headers as one value, to be stored.
    pub fn encode_headers(&self) -> Vec<u8> {
        let headers = self.headers.iter().cloned();
        let headers = headers
            .map(|(name, value)| Header { name, value })
            .collect();
        Headers { headers }.encode_to_vec()
    }

    /// What [`encode_headers`](Self::encode_headers) wrote; `None` if it did not.
    pub fn decode_headers(stored: &[u8]) -> Option<Vec<(String, Option<Vec<u8>>)>> {
        let Headers { headers } = Headers::decode(stored).ok()?;
        Some(
            headers
                .into_iter()
                .map(|one| (one.name, one.value))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_byte_for_byte() {
        let record = RawRecord {
            headers: vec![
                ("a".into(), Some(vec![0, 159, 146, 150])),
                ("a".into(), Some(b"second".to_vec())),
                ("empty".into(), Some(Vec::new())),
                ("none".into(), None),
            ],
            ..RawRecord::default()
        };
        let read = RawRecord::decode_headers(&record.encode_headers());
        assert_eq!(read.as_ref(), Some(&record.headers));
        assert_eq!(record.header("a"), None, "not a text");
        assert_eq!(record.header("empty"), Some(""));
        assert_eq!(record.header("none"), None);
    }
}

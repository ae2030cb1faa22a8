//! Reading a record of the log as an event.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::parking::Lane;
use crate::events::{DecodeError, Event, Payload, RawRecord, Source, TopicNames};

/// A record as a live feed reads it.
pub(super) struct Record {
    /// Where it stands.
    pub source: Source,
    /// Its key, if it is a text.
    pub key: Option<String>,
    /// The event, or why it is none.
    pub event: Result<Event, DecodeError>,
}

/// A record as a consumer reads it: it may have to be kept as it is.
#[derive(Debug, Clone)]
pub struct Polled {
    /// Where it stands.
    pub source: Source,
    /// As it is.
    pub raw: RawRecord,
    /// The event, or why it is none.
    pub event: Result<Event, DecodeError>,
}

impl Polled {
    /// The records that it must stay in order with.
    pub fn lane(&self) -> Lane {
        Lane {
            partition: (self.source.topic, self.source.partition),
            key: self.raw.key.clone(),
        }
    }
}

/// Reads a record; `None` if its topic is none of ours.
pub(super) fn read(names: &TopicNames, message: &BorrowedMessage<'_>) -> Option<Record> {
    let source = source(names, message)?;
    let header_of = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let value = message.payload().unwrap_or_default();
    let key = message
        .key()
        .and_then(|key| std::str::from_utf8(key).ok())
        .map(str::to_owned);
    Some(Record {
        source,
        key,
        event: Event::decode(source.topic, header_of, value),
    })
}

/// Reads a record and keeps it as it is; `None` if its topic is none of ours.
pub(super) fn poll(names: &TopicNames, message: &BorrowedMessage<'_>) -> Option<Polled> {
    let source = source(names, message)?;
    let raw = raw(message);
    let event = raw.decode(source.topic);
    Some(Polled { source, raw, event })
}

/// A record as it is.
pub(super) fn raw(message: &BorrowedMessage<'_>) -> RawRecord {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    RawRecord {
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        value: message.payload().map(<[u8]>::to_vec),
    }
}

fn source(names: &TopicNames, message: &BorrowedMessage<'_>) -> Option<Source> {
    Some(Source {
        topic: names.topic(message.topic())?,
        partition: message.partition(),
        offset: message.offset(),
    })
}

/// Whether an event says nothing to this version of the program: a decision about stock of an unknown kind. State events
/// of unknown type are applied by their state.
pub(super) fn is_unknown_decision(event: &Event) -> bool {
    matches!(&event.payload, Payload::Stock(decision) if decision.state.is_none())
}

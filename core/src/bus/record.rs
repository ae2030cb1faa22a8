//! Reading a record of the log as an event.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::events::{DecodeError, Event, Payload, Source, TopicNames};

/// A record as it was read.
pub(super) struct Record {
    /// Where it stands.
    pub source: Source,
    /// Its key, if it is a text.
    pub key: Option<String>,
    /// The size of its value.
    pub bytes: usize,
    /// The event, or why it is none.
    pub event: Result<Event, DecodeError>,
}

/// Reads a record; `None` if its topic is none of ours.
pub(super) fn read(names: &TopicNames, message: &BorrowedMessage<'_>) -> Option<Record> {
    let topic = names.topic(message.topic())?;
    let source = Source {
        topic,
        partition: message.partition(),
        offset: message.offset(),
    };
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
        bytes: value.len(),
        event: Event::decode(topic, header_of, value),
    })
}

/// Whether an event says nothing to this version of the program: a decision about stock of an unknown kind. State events
/// of unknown type are applied by their state.
pub(super) fn is_unknown_decision(event: &Event) -> bool {
    matches!(&event.payload, Payload::Stock(decision) if decision.state.is_none())
}

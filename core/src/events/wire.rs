//! The wire form of an event: key, headers and value of a record. The reader looks at the content type, so JSON and
//! binary can be in one topic.

use std::fmt;
use std::str::FromStr;

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::event::{AggregateType, Event, EventType, Payload, TraceParent};
use super::{Topic, pb};
use crate::domain::limits::RECORD_BYTES;
use crate::domain::{EventId, Timestamp};

/// How an event's payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Protobuf's JSON mapping: readable by people and by anything.
    #[default]
    Json,
    /// Protobuf binary: about a third of the size.
    Binary,
}

impl Encoding {
    /// The media type, in the header `content-type` and the outbox's column.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Binary => "application/protobuf",
        }
    }

    fn from_content_type(media_type: &str) -> Option<Self> {
        [Self::Json, Self::Binary].into_iter().find(|encoding| {
            media_type.split(';').next().map(str::trim) == Some(encoding.content_type())
        })
    }
}

impl FromStr for Encoding {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, &'static str> {
        match word {
            "json" => Ok(Self::Json),
            "protobuf" => Ok(Self::Binary),
            _ => Err("expected json or protobuf"),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Binary => "protobuf",
        })
    }
}

/// The header names: `CloudEvents` 1.0 Kafka binding, binary mode, and our own two.
pub mod header {
    /// `CloudEvents` version, always `1.0`.
    pub const SPEC_VERSION: &str = "ce_specversion";
    /// The event's id.
    pub const ID: &str = "ce_id";
    /// What happened.
    pub const TYPE: &str = "ce_type";
    /// Who says so: `/shop/<aggregate type>`.
    pub const SOURCE: &str = "ce_source";
    /// When, RFC 3339.
    pub const TIME: &str = "ce_time";
    /// The aggregate's id.
    pub const SUBJECT: &str = "ce_subject";
    /// The media type of the value.
    pub const CONTENT_TYPE: &str = "content-type";
    /// The version that the event made.
    pub const AGGREGATE_VERSION: &str = "aggregate_version";
    /// W3C Trace Context.
    pub const TRACEPARENT: &str = "traceparent";

    /// On dead letters: which consumer could not handle the record.
    pub const DLQ_CONSUMER: &str = "dlq_consumer";
    /// On dead letters: why.
    pub const DLQ_CAUSE: &str = "dlq_cause";
    /// On dead letters: the cause and what caused it, one a line.
    pub const DLQ_CAUSES: &str = "dlq_causes";
    /// On dead letters: the topic that the record was in, without prefix.
    pub const DLQ_TOPIC: &str = "dlq_topic";
    /// On dead letters: its partition there.
    pub const DLQ_PARTITION: &str = "dlq_partition";
    /// On dead letters: its offset there.
    pub const DLQ_OFFSET: &str = "dlq_offset";
    /// On dead letters: how often it was tried again.
    pub const DLQ_TRIES: &str = "dlq_tries";
    /// On dead letters: when it failed first, RFC 3339.
    pub const DLQ_FIRST_FAILED: &str = "dlq_first_failed";
    /// On dead letters: when it failed last, RFC 3339.
    pub const DLQ_LAST_FAILED: &str = "dlq_last_failed";
}

/// What [`header::SPEC_VERSION`] says.
const SPEC_VERSION: &str = "1.0";

/// A record's parts, without any driver's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRecord {
    /// The aggregate's id; records of one key stay in order.
    pub key: String,
    /// Name and value, in a fixed order.
    pub headers: Vec<(&'static str, String)>,
    /// The payload.
    pub value: Vec<u8>,
}

/// Why a record is no event of ours: poison, until somebody looks at it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A header that must be there is not.
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    /// A header's value can not be read.
    #[error("header {name} is not valid: {value:?}")]
    BadHeader {
        /// The header.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// The value is larger than anything of ours.
    #[error("the payload of {bytes} bytes is too large: {RECORD_BYTES} are the most")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The value is not of the content type, or not of the contract.
    #[error("the payload can not be read: {0}")]
    BadPayload(String),
    /// Headers and value tell different things.
    #[error("header {header} says {header_value}, the payload {payload_value}")]
    Contradiction {
        /// The header.
        header: &'static str,
        /// What it says.
        header_value: String,
        /// What the payload says.
        payload_value: String,
    },
}

impl Event {
    /// The value of the event's record.
    pub fn encode_payload(&self, encoding: Encoding) -> Vec<u8> {
        match &self.payload {
            Payload::User(user) => write(&pb::User::from(user), encoding),
            Payload::Product(product) => write(&pb::Product::from(product), encoding),
            Payload::Order(order) => write(&pb::Order::from(order.as_ref()), encoding),
            Payload::Stock(decision) => write(&pb::StockDecision::from(decision), encoding),
            Payload::StockLevel(level) => write(&pb::StockLevel::from(level), encoding),
        }
    }

    /// The event as the outbox holds it.
    pub fn store(&self, encoding: Encoding) -> StoredEvent {
        StoredEvent {
            id: self.id,
            aggregate_type: self.aggregate_type(),
            aggregate_id: self.aggregate_id(),
            version: self.version(),
            kind: self.kind.clone(),
            content_type: encoding.content_type().to_owned(),
            payload: self.encode_payload(encoding),
            trace: self.trace.clone(),
            time: self.time,
        }
    }

    /// The event's record.
    pub fn encode(&self, encoding: Encoding) -> WireRecord {
        self.store(encoding).into_record()
    }

    /// Reads an event from a record.
    ///
    /// In: the topic it was read from, which decides the contract; a look-up of headers by name; the value.
    ///
    /// # Errors
    /// [`DecodeError`] if it is no event: a missing header, an unreadable payload, one that is too large, headers that contradict the
    /// payload.
    pub fn decode<'a>(
        topic: Topic,
        header_of: impl Fn(&str) -> Option<&'a str>,
        value: &[u8],
    ) -> Result<Self, DecodeError> {
        let required = |name| header_of(name).ok_or(DecodeError::MissingHeader(name));
        let bad = |name, value: &str| DecodeError::BadHeader {
            name,
            value: value.to_owned(),
        };

        if value.len() > RECORD_BYTES {
            return Err(DecodeError::TooLarge { bytes: value.len() });
        }
        if let Some(version) = header_of(header::SPEC_VERSION).filter(|it| *it != SPEC_VERSION) {
            return Err(bad(header::SPEC_VERSION, version));
        }
        let content_type = required(header::CONTENT_TYPE)?;
        let encoding = Encoding::from_content_type(content_type)
            .ok_or_else(|| bad(header::CONTENT_TYPE, content_type))?;
        let id = required(header::ID)?;
        let id = Uuid::try_parse(id).map_err(|_| bad(header::ID, id))?;
        let time = required(header::TIME)?;
        let event = Self {
            id: EventId::from_uuid(id),
            kind: EventType::from(required(header::TYPE)?),
            time: from_rfc3339(time).ok_or_else(|| bad(header::TIME, time))?,
            // A trace is a help, never a reason to stop.
            trace: header_of(header::TRACEPARENT).and_then(|text| TraceParent::from_str(text).ok()),
            payload: read_payload(topic, value, encoding)?,
        };
        agree(
            header::AGGREGATE_VERSION,
            required(header::AGGREGATE_VERSION)?,
            event.version(),
        )?;
        agree(
            header::SUBJECT,
            required(header::SUBJECT)?,
            event.aggregate_id(),
        )?;
        Ok(event)
    }
}

fn agree(
    header: &'static str,
    header_value: &str,
    payload_value: impl fmt::Display,
) -> Result<(), DecodeError> {
    let payload_value = payload_value.to_string();
    if header_value == payload_value {
        return Ok(());
    }
    Err(DecodeError::Contradiction {
        header,
        header_value: header_value.to_owned(),
        payload_value,
    })
}

fn read_payload(topic: Topic, value: &[u8], encoding: Encoding) -> Result<Payload, DecodeError> {
    let payload = match topic {
        Topic::Users => Payload::User(read::<pb::User>(value, encoding)?.try_into()?),
        Topic::Products => Payload::Product(read::<pb::Product>(value, encoding)?.try_into()?),
        Topic::Orders | Topic::OrderStatus => {
            Payload::Order(Box::new(read::<pb::Order>(value, encoding)?.try_into()?))
        }
        Topic::Stock => Payload::Stock(read::<pb::StockDecision>(value, encoding)?.try_into()?),
        Topic::StockLevels | Topic::StockStatus => {
            Payload::StockLevel(read::<pb::StockLevel>(value, encoding)?.try_into()?)
        }
    };
    Ok(payload)
}

fn write(message: &(impl Message + Serialize), encoding: Encoding) -> Vec<u8> {
    match encoding {
        // Only maps with other keys than strings and a failing `Serialize` can fail here; generated code has neither.
        Encoding::Json => serde_json::to_vec(message).unwrap_or_default(),
        Encoding::Binary => message.encode_to_vec(),
    }
}

fn read<M: Message + DeserializeOwned + Default>(
    value: &[u8],
    encoding: Encoding,
) -> Result<M, DecodeError> {
    match encoding {
        Encoding::Json => serde_json::from_slice(value)
            .map_err(|error| DecodeError::BadPayload(error.to_string())),
        Encoding::Binary => {
            M::decode(value).map_err(|error| DecodeError::BadPayload(error.to_string()))
        }
    }
}

/// A record as the outbox holds it: the payload is written once, when the event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event's id.
    pub id: EventId,
    /// What kind of thing it is about.
    pub aggregate_type: AggregateType,
    /// Which thing.
    pub aggregate_id: Uuid,
    /// The version that the event made.
    pub version: u32,
    /// What happened.
    pub kind: EventType,
    /// The media type of the payload.
    pub content_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The trace, if any.
    pub trace: Option<TraceParent>,
    /// When.
    pub time: Timestamp,
}

impl StoredEvent {
    /// The record to send.
    pub fn into_record(self) -> WireRecord {
        let mut headers = vec![
            (header::SPEC_VERSION, SPEC_VERSION.to_owned()),
            (header::ID, self.id.uuid().to_string()),
            (header::TYPE, self.kind.as_str().to_owned()),
            (
                header::SOURCE,
                format!("/shop/{}", self.aggregate_type.as_str()),
            ),
            (header::TIME, rfc3339(self.time)),
            (header::SUBJECT, self.aggregate_id.to_string()),
            (header::CONTENT_TYPE, self.content_type),
            (header::AGGREGATE_VERSION, self.version.to_string()),
        ];
        if let Some(trace) = self.trace {
            headers.push((header::TRACEPARENT, trace.as_str().to_owned()));
        }
        WireRecord {
            key: self.aggregate_id.to_string(),
            headers,
            value: self.payload,
        }
    }
}

/// A point in time as headers say it.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_datetime()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

fn from_rfc3339(text: &str) -> Option<Timestamp> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .ok()
        .map(Timestamp::from_datetime)
}

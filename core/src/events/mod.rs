//! What travels: events, the topics they travel on, and their wire forms.
//!
//! The contracts are `core/proto/shop/events/v1/*.proto`; on the wire they are JSON by Protobuf's JSON mapping, or
//! binary. Metadata follows `CloudEvents` 1.0 for Kafka in binary mode: it is in the headers. Every event carries the full
//! state of its aggregate after it, so the newest one is all that a reader needs.
//!
//! Knows no driver. To add an event: 1. its message in `proto/`, 2. a row in [`EventType`], 3. its conversion in the
//! aggregate's file, 4. its wire form as a snapshot in the tests.

mod convert;
pub mod event;
pub mod raw;
#[cfg(test)]
mod tests;
pub mod topic;
pub mod wire;

pub use event::{
    AggregateType, Envelope, Event, EventType, Payload, Source, StockDecision, TraceParent,
    event_id,
};
pub use raw::RawRecord;
pub use topic::{Channel, Topic, TopicNames};
pub use wire::{DecodeError, Encoding, StoredEvent, WireRecord};

/// The messages of the contracts, as generated from `core/proto`.
#[expect(clippy::all, clippy::pedantic, missing_docs, reason = "generated code")]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/shop.events.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/shop.events.v1.serde.rs"));
}

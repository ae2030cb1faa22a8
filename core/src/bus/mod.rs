//! The log: topics, the producer, the loop that every consumer runs, and the reader of a live feed. The only place that
//! names the Kafka client; knows no role.
//!
//! [`consume`] is the loop, [`Role`] what it calls; [`Producer`] sends and says when all of it is acknowledged; [`Tail`]
//! reads what is new, for everybody; [`parking`] keeps what failed; [`Observer`], [`scan`] and [`Replay`] look in from outside;
//! [`ensure_topics`] makes the topics. To add a topic: 1. a row in
//! `events::Topic`, 2. its contract in [`events`](crate::events), 3. nothing here.

mod admin;
mod cause;
mod client;
mod closing;
mod consumer;
mod dead_letter;
mod error;
mod group;
mod holds;
#[cfg(any(test, feature = "testkit"))]
pub mod inspect;
mod observer;
pub mod parking;
mod ping;
mod positions;
mod producer;
mod record;
mod role;
pub mod settle;
mod tail;
mod worker;

pub use admin::{Topics, create_topics, delete_topics, ensure_topics};
pub use cause::Cause;
pub use consumer::consume;
pub use error::BusError;
pub use observer::{Extent, Extents, Observer, Offsets, Replay, Trace, behind, ends, scan};
pub use ping::Ping;
pub use producer::Producer;
pub use record::Polled;
pub use role::{HandleError, Outcome, Role};
pub use tail::{Tail, TailItem};

use crate::events::Topic;

/// A partition of a topic.
pub type Partition = (Topic, i32);

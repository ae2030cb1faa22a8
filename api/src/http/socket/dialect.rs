//! What the protocols over a socket have in common: the things a client says, and the words for what it is told.
//!
//! To add a protocol: 1. a file with its [`Dialect`], 2. a row in [`ALL`].

use async_graphql::Request;
use axum::http::{HeaderMap, header};
use serde_json::value::RawValue;

use super::{legacy_ws, transport_ws};

/// Every protocol.
pub const ALL: [&Dialect; 2] = [&transport_ws::DIALECT, &legacy_ws::DIALECT];

/// The one to speak: of those that a client offers, in its order (RFC 6455, section 4.1), the first that is known here.
///
/// Python's `gql` offers both, and takes every answer for its first one: it looks for the answer's header by another case.
pub fn preferred(headers: &HeaderMap) -> Option<&'static Dialect> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut offered = offered.split(',').map(str::trim);
    offered.find_map(|name| ALL.into_iter().find(|dialect| dialect.name == name))
}

/// Bytes of an operation's id; it is repeated in every message about it.
pub const ID_BYTES: usize = 256;

/// A protocol.
pub struct Dialect {
    /// Its name as a WebSocket subprotocol.
    pub name: &'static str,
    /// Reads a client's message, or says what is wrong with it.
    pub read: fn(&[u8]) -> Result<Said, String>,
    /// The handshake is accepted.
    pub ack: &'static str,
    /// What is said after that and now and then, for clients that do not see a WebSocket's pings.
    pub keep_alive: Option<&'static str>,
    /// Whether an operation that the client ends is completed in words.
    pub is_stop_answered: bool,
    /// An execution result of an operation. Ids and payloads come in JSON.
    pub next: fn(id: &str, payload: &str) -> String,
    /// An operation ends with errors.
    pub error: fn(id: &str, errors: &str) -> String,
    /// An operation is over.
    pub complete: fn(id: &str) -> String,
    /// The answer to a ping.
    pub pong: fn(payload: Option<&RawValue>) -> String,
}

/// What a client says.
#[derive(Debug)]
pub enum Said {
    /// The handshake, or later a fresh token; with its payload.
    Init(Option<Box<RawValue>>),
    /// Begin an operation.
    Start {
        /// Its name on this socket.
        id: String,
        /// What to run.
        request: Box<Request>,
    },
    /// End an operation.
    Stop {
        /// Its name.
        id: String,
    },
    /// A question whether we live, with something to repeat.
    Ping(Option<Box<RawValue>>),
    /// A sign of life.
    Pong,
    /// End everything.
    Terminate,
}

/// An id that can be used.
pub fn checked_id(id: Option<String>) -> Result<String, String> {
    match id {
        Some(id) if (1..=ID_BYTES).contains(&id.len()) => Ok(id),
        Some(_) => Err(format!("id must have 1 to {ID_BYTES} bytes")),
        None => Err("id is missing".to_owned()),
    }
}

//! What the director and its helpers say to each other: a JSON line each, by standard input and output.
//!
//! The Node server speaks it too.

use std::io::Write as _;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the director asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Of clients: open so many subscribers, and answer [`Answer::Opened`] once each has its first item.
    Open(Open),
    /// Of clients: answer [`Answer::Counting`], and [`Answer::Wave`] once each subscriber got one more frame.
    Count,
    /// Of the plain broadcast: send these bytes to everybody.
    Send(String),
    /// Of Node: these orders exist; they go through these states.
    Stage(Stage),
    /// Of Node: these orders, the first so many, reach this version.
    Publish {
        /// How many of the orders that were staged.
        orders: usize,
        /// Which version.
        version: u32,
    },
}

/// What to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Open {
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// How many.
    pub subscribers: usize,
    /// What each of them shows to say who it is.
    pub token: String,
    /// Public ids of orders, one for each subscriber in turn: one order for all, or as many as subscribers.
    pub orders: Vec<String>,
    /// The GraphQL document that all of them send.
    pub document: String,
}

/// How a subscriber talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `graphql-transport-ws` over a WebSocket.
    GraphqlWs,
    /// A WebSocket on which nothing is asked for.
    BareWs,
    /// Server-sent events.
    Sse,
}

/// What Node's orders are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// Their public ids.
    pub orders: Vec<String>,
    /// What a subscriber is told of each, by version from 1 on, with another order's id in it.
    pub states: Vec<Value>,
}

/// What a helper answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A server: where it listens.
    Listening(SocketAddr),
    /// Every subscriber has its first item; the first subscriber's, if there is something to get.
    Opened(Option<String>),
    /// Whatever is published from now on is counted.
    Counting,
    /// Each subscriber got one more frame.
    Wave(Wave),
    /// It can not go on.
    Failed(String),
}

/// How one published version reached the subscribers. Times are [`crate::clock::now`]'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// How many frames came, one for each subscriber.
    pub frames: usize,
    /// When the first came.
    pub first: u64,
    /// When half of them were there.
    pub median: u64,
    /// When the last came.
    pub last: u64,
    /// Their payloads' bytes together.
    pub bytes: usize,
    /// The first subscriber's.
    pub sample: String,
}

/// Says something to the director.
///
/// # Errors
/// If the director is gone.
pub fn answer(answer: &Answer) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

//! One subscriber: its handshake, its first item, and what comes after that.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::frames::{self, Frames};
use super::tally::Tally;
use crate::talk::{Open, Transport};

/// Bytes that are read at once, at most: more than a frame has here.
const READ: usize = 4096;
/// Any sixteen bytes will do.
const KEY: &str = "c2hvcC1vcmRlci1iZW5jaA==";

/// A subscriber that is open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    frames: Frames,
    transport: Transport,
}

impl Connection {
    /// Opens one. Out: its first item beside it, if there is one to wait for.
    pub async fn open(open: &Open, number: usize) -> anyhow::Result<(Self, Option<String>)> {
        let stream = TcpStream::connect(open.address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            frames: Frames::default(),
            transport: open.transport,
        };
        let order = open.orders.get(number % open.orders.len().max(1));
        let order = order.map(String::as_str);
        let first = match open.transport {
            Transport::BareWs => {
                connection.upgrade(open).await?;
                None
            }
            Transport::GraphqlWs => {
                connection.upgrade(open).await?;
                let order = order.context("no order to subscribe to")?;
                Some(connection.subscribe(open, number, order).await?)
            }
            Transport::Sse => {
                let order = order.context("no order to subscribe to")?;
                Some(connection.stream_events(open, order).await?)
            }
        };
        Ok((connection, first))
    }

    /// Reads on until something goes wrong, and says what.
    pub async fn listen(mut self, number: usize, tally: &Tally) -> anyhow::Error {
        loop {
            if let Err(error) = self.hear(number, tally).await {
                return error;
            }
        }
    }

    async fn hear(&mut self, number: usize, tally: &Tally) -> anyhow::Result<()> {
        self.read().await?;
        if self.transport == Transport::Sse {
            self.frames = Frames::default(); // comments; nothing is published to event streams
            return Ok(());
        }
        let mut pongs = Vec::new();
        while let Some((kind, payload)) = self.frames.next()? {
            match kind {
                frames::TEXT => {
                    check(self.transport, payload)?;
                    tally.arrive(number, payload);
                }
                frames::PING => pongs.extend(frames::frame(frames::PONG, payload)?),
                other => bail!("a frame of kind {other}: {}", words(payload)),
            }
        }
        if !pongs.is_empty() {
            self.stream.write_all(&pongs).await?;
        }
        Ok(())
    }

    async fn upgrade(&mut self, open: &Open) -> anyhow::Result<()> {
        let protocol = match open.transport {
            Transport::GraphqlWs => "Sec-WebSocket-Protocol: graphql-transport-ws\r\n",
            Transport::BareWs | Transport::Sse => "",
        };
        let request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{protocol}\r\n",
            open.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.head("101").await
    }

    async fn subscribe(
        &mut self,
        open: &Open,
        number: usize,
        order: &str,
    ) -> anyhow::Result<String> {
        let payload = json!({ "authorization": format!("Bearer {}", open.token) });
        let init = json!({ "type": "connection_init", "payload": payload });
        self.say(&init.to_string()).await?;
        let ack = self.text().await?;
        ensure!(ack.contains("connection_ack"), "{ack}");
        // As long as the ids that clients make, and no two alike.
        let id = format!("{number:08x}-0000-4000-8000-{number:012x}");
        let payload = json!({ "query": open.document, "variables": { "orderId": order } });
        let subscribe = json!({ "id": id, "type": "subscribe", "payload": payload });
        self.say(&subscribe.to_string()).await?;
        let first = self.text().await?;
        check(open.transport, first.as_bytes())?;
        Ok(first)
    }

    async fn stream_events(&mut self, open: &Open, order: &str) -> anyhow::Result<String> {
        let variables = json!({ "orderId": order }).to_string();
        let request = format!(
            "GET /graphql?query={}&variables={} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {}\r\n\r\n",
            encoded(&open.document),
            encoded(&variables),
            open.address,
            open.token
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.head("200").await?;
        loop {
            let text = words(self.frames.rest());
            if let Some((_, item)) = text.split_once("event: next")
                && item.contains("\n\n")
            {
                return Ok(item.to_owned());
            }
            self.read().await?;
        }
    }

    /// Reads the head of an HTTP answer; what follows it stays to be read.
    async fn head(&mut self, status: &str) -> anyhow::Result<()> {
        loop {
            let text = words(self.frames.rest());
            if let Some(end) = text.find("\r\n\r\n") {
                let fine = text.split(' ').nth(1) == Some(status);
                ensure!(fine, "expected {status}, not {text}");
                self.frames.skip(end + 4);
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn text(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some((kind, payload)) = self.frames.next()? {
                ensure!(
                    kind == frames::TEXT,
                    "a frame of kind {kind}: {}",
                    words(payload)
                );
                return Ok(words(payload));
            }
            self.read().await?;
        }
    }

    async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let frame = frames::frame(frames::TEXT, text.as_bytes())?;
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Waits for bytes. They are read into the stack of one poll, not into ten thousand tasks.
    async fn read(&mut self) -> anyhow::Result<()> {
        let Self { stream, frames, .. } = self;
        let count = poll_fn(|cx| {
            let mut space = [0; READ];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            frames.push(buffer.filled());
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        });
        ensure!(count.await? > 0, "the server closed the connection");
        Ok(())
    }
}

/// Whether a message is an item. It is not read: the clients share the cores with the server.
fn check(transport: Transport, payload: &[u8]) -> anyhow::Result<()> {
    const WORD: &[u8] = br#""type":"next""#;
    let begin = &payload[..payload.len().min(96)];
    let fine = transport == Transport::BareWs || begin.windows(WORD.len()).any(|part| part == WORD);
    ensure!(fine, "no item: {}", words(payload));
    Ok(())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text in a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_letter_or_digit_is_encoded() {
        assert_eq!(
            encoded("{ a($b: ID!) }"),
            "%7B%20a%28%24b%3A%20ID%21%29%20%7D"
        );
    }

    #[test]
    fn an_item_is_told_from_an_error() {
        let next = br#"{"id":"1","type":"next","payload":{}}"#;
        assert!(check(Transport::GraphqlWs, next).is_ok());
        assert!(check(Transport::GraphqlWs, br#"{"type":"error"}"#).is_err());
        assert!(check(Transport::BareWs, b"").is_ok());
    }
}

//! A connection that speaks `graphql-transport-ws`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Token;

const PROTOCOL: &str = "graphql-transport-ws";
/// The library's own buffers are 128 KiB each, which is much for thousands of sockets.
const BUFFER: usize = 4 * 1024;

/// What a server said.
#[derive(Debug)]
pub enum Said {
    /// The data of an item.
    Item(Value),
    /// The errors of an operation, and whether one of them may be tried again.
    Refused(Value, bool),
    /// An operation is complete.
    Completed,
    /// The connection is over; with the close code if the server said goodbye.
    Over(Option<u16>),
}

/// An open connection. It is closed when this is dropped.
#[derive(Debug)]
pub struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    /// Connects to an address such as `127.0.0.1:4000`, says who it is, and waits at most so long until the server has greeted.
    ///
    /// # Errors
    /// If it does not.
    pub async fn open(address: &str, token: &Token, greeting: Duration) -> anyhow::Result<Self> {
        let opening = async {
            let stream = TcpStream::connect(address).await?;
            Self::greet(stream, address, token).await
        };
        tokio::time::timeout(greeting, opening).await?
    }

    /// The same with few bytes that the system takes in while nobody reads.
    ///
    /// # Errors
    /// If the server does not greet in time.
    pub async fn open_narrow(
        address: SocketAddr,
        token: &Token,
        greeting: Duration,
        bytes: u32,
    ) -> anyhow::Result<Self> {
        let opening = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(bytes)?;
            let stream = socket.connect(address).await?;
            Self::greet(stream, &address.to_string(), token).await
        };
        tokio::time::timeout(greeting, opening).await?
    }

    async fn greet(stream: TcpStream, address: &str, token: &Token) -> anyhow::Result<Self> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        let mut line = Self { socket };
        line.show(token).await?;
        loop {
            let message = line.socket.next().await;
            let message = message.context("closed before connection_ack")??;
            if message.is_close() {
                anyhow::bail!("closed before connection_ack: {message}");
            }
            if kind(&parse(&message)) == "connection_ack" {
                return Ok(line);
            }
        }
    }

    /// Says who it is: at first, and again before the token runs out.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn show(&mut self, token: &Token) -> anyhow::Result<()> {
        let payload = json!({ "authorization": token.bearer() });
        self.send(&json!({ "type": "connection_init", "payload": payload }))
            .await
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn subscribe(
        &mut self,
        id: &str,
        query: &str,
        variables: &Value,
    ) -> anyhow::Result<()> {
        let payload = json!({ "query": query, "variables": variables });
        self.send(&json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await
    }

    /// What the server says next about an operation, or that there is nothing more to hear.
    pub async fn next(&mut self) -> Said {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => {
                    // The answer to its goodbye.
                    let _ = self.socket.flush().await;
                    return Said::Over(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(message)) => parse(&message),
                Some(Err(_)) | None => return Said::Over(None),
            };
            match kind(&message) {
                "next" if message["payload"]["errors"].is_null() => {
                    return Said::Item(message["payload"]["data"].clone());
                }
                "next" => return refused(&message["payload"]["errors"]),
                "error" => return refused(&message["payload"]),
                "complete" => return Said::Completed,
                "ping" if self.send(&json!({ "type": "pong" })).await.is_err() => {
                    return Said::Over(None);
                }
                _ => {}
            }
        }
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }
}

fn refused(errors: &Value) -> Said {
    let all = errors.as_array().into_iter().flatten();
    let mut retryable = all.map(|error| error["extensions"]["retryable"] == true);
    Said::Refused(errors.clone(), retryable.any(|retryable| retryable))
}

fn parse(message: &Message) -> Value {
    let text = message.to_text().ok();
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn kind(message: &Value) -> &str {
    message["type"].as_str().unwrap_or_default()
}

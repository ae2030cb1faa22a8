//! The simplest honest WebSocket server that sends the same bytes to everybody: what any server has to spend at least.
//!
//! A task for each socket, one channel for all, one text that nobody copies before it is framed; each is sent and flushed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::talk::{self, Answer, Ask};

/// Texts that a socket may be behind: more than are ever sent at once.
const BEHIND: usize = 16;
/// As the API has it: the default is 128 KiB for each socket.
const BUFFER: usize = 4096;

/// Serves, and sends what the director says, until it is gone.
pub async fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    talk::answer(&Answer::Listening(listener.local_addr()?))?;
    let (sender, _) = broadcast::channel(BEHIND);
    tokio::spawn(accept(listener, sender.clone()));
    let mut asks = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = asks.next_line().await? {
        let Ask::Send(text) = serde_json::from_str(&line)? else {
            bail!("a broadcast only sends");
        };
        sender
            .send(Utf8Bytes::from(text))
            .context("nobody is there")?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, sender: Sender<Utf8Bytes>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let texts = sender.subscribe();
                tokio::spawn(async move {
                    // Whoever goes away is told nothing more; the clients note what they miss.
                    let _ = serve(stream, texts).await;
                });
            }
            Err(error) => {
                eprintln!("bench-sockets broadcast: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, mut texts: Receiver<Utf8Bytes>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    loop {
        tokio::select! {
            text = texts.recv() => socket.send(Message::Text(text?)).await?,
            message = socket.next() => {
                message.context("the client is gone")??;
            }
        }
    }
}

//! A connection to the API that carries one request after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::head;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the API lets a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// What is read at once, at least.
const PIECE: usize = 4 * 1024;
/// Bytes of an answer, at most.
const MOST: usize = 4 * 1024 * 1024;

/// An open connection.
pub(super) struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// An answer on its way out of the connection's buffer.
pub(super) struct Told<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Whether nothing more can be asked on this connection.
    pub closes: bool,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// If the server does not take the connection in time.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(CONNECT, TcpStream::connect(address)).await;
        let stream = stream.context("no connection in time")??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::new(),
        })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If none comes in time. The connection is of no use then.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Told<'_>> {
        let told = timeout(PATIENCE, self.exchange(request)).await;
        let (status, begin, closes) = told.context("no answer in time")??;
        let body = &self.answer[begin..];
        Ok(Told {
            status,
            body,
            closes,
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, usize, bool)> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut known = None;
        loop {
            self.answer.reserve(PIECE);
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the connection was closed");
            ensure!(self.answer.len() <= MOST, "the answer has no end");
            if known.is_none() {
                known = head(&self.answer)?;
            }
            if let Some(head) = known
                && self.answer.len() >= head.body + head.length
            {
                return Ok((head.status, head.body, head.closes));
            }
        }
    }
}

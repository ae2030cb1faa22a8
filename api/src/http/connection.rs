//! A client's connection, which can be taken from the HTTP server.
//!
//! The server keeps 16 KiB of buffers for each connection as long as a response lasts, and server-sent events last. So whoever sends
//! them takes the connection over ([`Connection::take`]): the server then finds the client gone, and frees what it held.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pulse::Pulse;
use super::seats::Seat;

/// A connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    line: Mutex<Option<Line>>,
    peer: SocketAddr,
    pulse: Pulse,
}

/// What a connection is made of, and its place among all of them.
#[derive(Debug)]
pub struct Line {
    /// The way to the client.
    pub stream: TcpStream,
    /// Kept as long as the stream.
    pub seat: Seat,
}

impl Connection {
    /// One that was accepted just now.
    pub fn new(line: Line, peer: SocketAddr) -> Self {
        Self(Arc::new(Shared {
            line: Mutex::new(Some(line)),
            peer,
            pulse: Pulse::new(),
        }))
    }

    /// Takes it from whoever serves it: for them it has ended. `None` if it was taken before.
    pub fn take(&self) -> Option<Line> {
        self.lock().take()
    }

    /// Who is at the other end; a proxy perhaps.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// What happens on it.
    pub fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(_)) => self.0.pulse.took(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.0.pulse.takes_no_more(),
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads nothing once it is taken.
impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let read = match &mut *self.lock() {
            Some(line) => Pin::new(&mut line.stream).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        };
        if buf.filled().len() > filled {
            self.0.pulse.heard();
        }
        read
    }
}

/// What is written once it is taken is dropped.
impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.lock() {
            Some(line) => self.note(Pin::new(&mut line.stream).poll_write(cx, buf)),
            None => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.lock() {
            Some(line) => self.note(Pin::new(&mut line.stream).poll_write_vectored(cx, bufs)),
            None => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.pulse.has_taken_all(); // the server asks once it has nothing left to write
        match &mut *self.lock() {
            Some(line) => Pin::new(&mut line.stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.lock() {
            Some(line) => Pin::new(&mut line.stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

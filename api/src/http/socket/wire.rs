//! One socket's frames: a bounded queue towards the client, written while the client is read.
//!
//! Reading stops while the queue is full, and so do the operations that fill it: what a slow client makes us hold is the
//! queue and one answer. Knows nothing of the protocol.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use futures::{Sink, Stream};
use shop_core::runtime::settings::SocketSettings;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Error as FrameError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::ending::Ending;
use crate::http::events::GOODBYE;

/// How long a client that can not be read any more has to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A socket and what waits for its client.
pub struct Wire<S> {
    socket: S,
    queue: VecDeque<Message>,
    queued_bytes: usize,
    settings: Arc<SocketSettings>,
    /// Whether the socket holds what it was given and has not sent yet.
    unflushed: bool,
    /// When something last went out, or began to wait.
    moved: Instant,
    /// Whether the client's side can not be read any more.
    deaf: bool,
}

/// What happens on a wire.
#[derive(Debug)]
pub enum Event {
    /// A message of the client's.
    Said(Bytes),
    /// A frame without a message: the client lives.
    Alive,
    /// The queue has room again.
    Room,
    /// It is over.
    Over(Ending),
}

impl<S> Wire<S>
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin,
{
    /// A wire whose queue is empty.
    pub fn new(socket: S, settings: Arc<SocketSettings>) -> Self {
        Self {
            socket,
            queue: VecDeque::with_capacity(1), // mostly one is queued and sent
            queued_bytes: 0,
            settings,
            unflushed: false,
            moved: Instant::now(),
            deaf: false,
        }
    }

    /// Whether more may be queued.
    pub fn has_room(&self) -> bool {
        self.queued_bytes < self.settings.queue_bytes
            && self.queue.len() < self.settings.queue_messages
    }

    /// Queues a message.
    pub fn push(&mut self, message: Message) {
        if self.is_idle() {
            self.moved = Instant::now();
        }
        self.queued_bytes += bytes_of(&message);
        self.queue.push_back(message);
    }

    /// Queues a text.
    pub fn push_text(&mut self, text: String) {
        self.push(Message::Text(text.into()));
    }

    /// When the client will have taken too long over what was sent; `None` if nothing waits.
    pub fn due(&self) -> Option<Instant> {
        (!self.is_idle()).then(|| self.moved + self.settings.write_timeout)
    }

    /// What happens next; writes meanwhile.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let was_full = !self.has_room();
        if let Poll::Ready(Err(_)) = self.poll_write(cx) {
            return Poll::Ready(Event::Over(Ending::Lost));
        }
        if !self.has_room() {
            return Poll::Pending;
        }
        match self.poll_read(cx) {
            Poll::Pending if was_full => Poll::Ready(Event::Room),
            polled => polled,
        }
    }

    /// Sends what is queued and the reason for the end, within bounds, and lets the client say goodbye in turn.
    pub async fn finish(&mut self, ending: &Ending) {
        let Some(frame) = ending.frame() else { return };
        if matches!(ending, Ending::Slow | Ending::Denied(_)) {
            self.queue.clear();
        }
        self.queue.push_back(Message::Close(Some(frame)));
        let most = self.settings.write_timeout;
        let patience = match ending {
            Ending::NoProtocol => most.min(GOODBYE), // nothing was said before it
            _ => most,
        };
        let written = std::future::poll_fn(|cx| self.poll_write(cx));
        if !matches!(timeout(patience, written).await, Ok(Ok(()))) {
            return;
        }
        if matches!(ending, Ending::Crowded) {
            return; // its place is wanted
        }
        if self.deaf {
            sleep(LAST_WORDS).await; // what was not read would reset the connection before the client has read the reason
            return;
        }
        let heard =
            async { while let Some(Ok(_)) = futures::StreamExt::next(&mut self.socket).await {} };
        let _ = timeout(GOODBYE, heard).await;
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let event = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Event::Said(text.into()),
                Some(Ok(Message::Binary(bytes))) => Event::Said(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Event::Alive,
                Some(Ok(Message::Close(_))) => {
                    self.deaf = true; // the answer to it is written when the socket is asked again
                    continue;
                }
                Some(Err(error)) => {
                    self.deaf = true;
                    Event::Over(self.ending_of(error))
                }
                None if self.deaf => Event::Over(Ending::Left),
                None => Event::Over(Ending::Lost),
            };
            return Poll::Ready(event);
        }
    }

    /// Writes all that the socket takes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.queue.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let Some(message) = self.queue.pop_front() else {
                break;
            };
            self.queued_bytes = self.queued_bytes.saturating_sub(bytes_of(&message));
            self.moved = Instant::now();
            self.unflushed = true;
            Pin::new(&mut self.socket).start_send(message)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn ending_of(&self, error: axum::Error) -> Ending {
        let inner = error.into_inner();
        match inner.downcast_ref::<FrameError>() {
            Some(FrameError::Capacity(_)) => Ending::TooBig(self.settings.message_bytes),
            Some(FrameError::Utf8(_)) => Ending::NotText,
            Some(FrameError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Ending::Lost,
            Some(FrameError::Protocol(problem)) => Ending::Broken(problem.to_string()),
            _ => Ending::Lost,
        }
    }
}

fn bytes_of(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

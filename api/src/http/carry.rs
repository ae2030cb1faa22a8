//! Carries the events of a response: over its connection alone, which is taken from the HTTP server, or as a body where it can not be.
//!
//! The outermost layer, so that the response's head is what every other layer made of it. See `connection` for why.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use shop_core::runtime::clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::seats::Seat;

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Bytes that a chunk has around its event, at most.
const CHUNK_FRAME: usize = 20;
/// Events that wait for a body's connection.
const UNSENT: usize = 1;
/// Bytes that are read at once of what a client says while it is told events, and dropped.
const HEARD_AT_ONCE: usize = 1024;
/// What it may say in all: to read on for ever would starve its stream.
const HEARD_MOST: usize = 64 * 1024;

/// What a response tells, event by event, on whatever [`Way`] there is. In the response's extensions.
#[derive(Clone)]
pub struct Events {
    teller: Arc<Mutex<Option<Teller>>>,
    lasts: bool,
}

type Teller = Box<dyn FnOnce(Way) -> Telling + Send>;
type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Events {
    /// For one response, which ends when the future does. One that `lasts` has its connection for itself; after another one the
    /// connection is good for more.
    pub fn told<F>(lasts: bool, by: impl FnOnce(Way) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let teller: Teller = Box::new(move |way| Box::pin(by(way)));
        let teller = Arc::new(Mutex::new(Some(teller)));
        Self { teller, lasts }
    }

    fn take(&self) -> Option<Teller> {
        let mut teller = self.teller.lock().unwrap_or_else(PoisonError::into_inner);
        teller.take()
    }
}

/// How events get to a client.
pub enum Way {
    /// Through the HTTP server.
    Body(Sender<String>),
    /// Over a connection that was taken from it. On the heap: whoever tells holds its way twice.
    Connection(Box<Taken>),
}

/// A connection that was taken from the HTTP server.
pub struct Taken {
    stream: TcpStream,
    /// Its place among all connections.
    _seat: Option<Seat>,
    /// The head of the response, until it is sent with the first event.
    head: Vec<u8>,
    /// Bytes that the client has said so far.
    heard: usize,
}

impl Way {
    /// Sends an event, and waits until it is on its way. Not to be dropped halfway, unless nothing else is told.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn tell(&mut self, event: String) -> io::Result<()> {
        match self {
            // On the heap: who has a connection need not hold what this takes.
            Self::Body(events) => {
                let sent = Box::pin(events.send(event)).await;
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
            Self::Connection(taken) => {
                let mut chunk = Vec::with_capacity(event.len() + CHUNK_FRAME);
                write!(chunk, "{:x}\r\n{event}\r\n", event.len())?;
                taken.send(&chunk).await
            }
        }
    }

    /// Waits until the client is gone. Safe to drop and ask again.
    pub async fn closed(&mut self) {
        match self {
            Self::Body(events) => Box::pin(events.closed()).await,
            Self::Connection(taken) => taken.gone().await,
        }
    }

    /// Says that there is nothing more to tell. Without it the client takes the connection for lost.
    pub async fn end(&mut self) {
        if let Self::Connection(taken) = self {
            // Who does not take it any more need not know.
            let _ = taken.send(LAST_CHUNK).await;
            let _ = taken.stream.shutdown().await;
        }
    }
}

impl Taken {
    const fn new(stream: TcpStream, seat: Option<Seat>, head: Vec<u8>) -> Self {
        Self {
            stream,
            _seat: seat,
            head,
            heard: 0,
        }
    }

    async fn send(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.head.is_empty() {
            return self.stream.write_all(chunk).await;
        }
        let mut bytes = std::mem::take(&mut self.head);
        bytes.extend_from_slice(chunk);
        self.stream.write_all(&bytes).await
    }

    /// Waits until the client goes, or has said more than can be meant for a stream of events.
    async fn gone(&mut self) {
        // Polled: `readable()` would leave the waker of the HTTP server's task with the connection, and that task's memory with it.
        while self.heard <= HEARD_MOST
            && poll_fn(|cx| self.stream.poll_read_ready(cx)).await.is_ok()
        {
            let mut talk = [0; HEARD_AT_ONCE];
            match self.stream.try_read(&mut talk) {
                Ok(0) => return,
                Ok(heard) => self.heard += heard,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// Answers a request, and sees to its events if it has some: the tracker waits for whoever tells them.
pub async fn carry(State(tasks): State<TaskTracker>, request: Request, next: Next) -> Response {
    let connection = connection_of(&request);
    let mut response = next.run(request).await;
    let events = response.extensions_mut().remove::<Events>();
    let Some((lasts, teller)) = events.and_then(|events| Some((events.lasts, events.take()?)))
    else {
        return response;
    };
    // Not in the middle of an answer that its client still reads.
    let connection = connection.filter(|connection| lasts && !connection.pulse().is_unread());
    let Some(line) = connection.and_then(|connection| connection.take()) else {
        let (events, unsent) = mpsc::channel(UNSENT);
        *response.body_mut() = body(unsent);
        tasks.spawn(teller(Way::Body(events)));
        return response;
    };
    let head = head(response.status(), response.headers());
    let taken = Taken::new(line.stream, Some(line.seat), head);
    tasks.spawn(teller(Way::Connection(Box::new(taken))));
    // Nobody reads it.
    [(header::CONNECTION, "close")].into_response()
}

/// The connection of a request after which nothing else has to be said on it.
fn connection_of(request: &Request) -> Option<Connection> {
    let is_plain = request.version() == Version::HTTP_11
        && request.method() != Method::HEAD
        && !request.headers().contains_key(header::EXPECT)
        && !request.headers().contains_key(header::UPGRADE);
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    connection.filter(|_| is_plain).map(|it| it.0.clone())
}

fn body(unsent: Receiver<String>) -> Body {
    Body::from_stream(stream::unfold(unsent, async |mut unsent| {
        let event = unsent.recv().await?;
        Some((Ok::<_, Infallible>(event), unsent))
    }))
}

/// The head of a response whose body comes in chunks, RFC 9112.
fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    let date = httpdate::fmt_http_date(clock::now().to_datetime().into());
    let own = [
        (header::DATE, HeaderValue::from_str(&date).ok()),
        (header::CONNECTION, Some(HeaderValue::from_static("close"))),
        (
            header::TRANSFER_ENCODING,
            Some(HeaderValue::from_static("chunked")),
        ),
    ];
    let own = own
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let theirs = headers
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_LENGTH);
    for (name, value) in theirs.chain(own) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::task::{ArcWake, waker_ref};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A client, and the way to it.
    async fn connection(head: &str) -> (TcpStream, Way) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let taken = Taken::new(server.expect("accepted").0, None, head.as_bytes().to_vec());
        (client.expect("connected"), Way::Connection(Box::new(taken)))
    }

    #[test]
    fn the_head_is_that_of_the_response_but_for_how_its_body_comes() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let head = String::from_utf8(head(StatusCode::OK, &headers)).expect("text");
        let (first, rest) = head.split_once("\r\n").expect("lines");
        assert_eq!(first, "HTTP/1.1 200 OK");
        assert!(
            rest.contains("content-type: text/event-stream\r\n"),
            "{rest}"
        );
        assert!(rest.contains("transfer-encoding: chunked\r\n"), "{rest}");
        assert!(rest.contains(" GMT\r\n"), "{rest}");
        assert!(!rest.contains("content-length"), "{rest}");
        assert!(rest.ends_with("\r\n\r\n"), "{rest}");
    }

    #[tokio::test]
    async fn events_come_as_chunks_and_the_end_is_said() {
        let (mut client, mut way) = connection("head\r\n\r\n").await;
        for event in [":\n\n", "data: 0123456789\n\n"] {
            way.tell(event.to_owned()).await.expect("sent");
        }
        way.end().await;
        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("text");
        assert_eq!(
            told,
            "head\r\n\r\n3\r\n:\n\n\r\n12\r\ndata: 0123456789\n\n\r\n0\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn who_read_the_connection_before_is_not_held() {
        struct Reader;
        impl ArcWake for Reader {
            fn wake_by_ref(_: &Arc<Self>) {}
        }
        let (_client, mut way) = connection("").await;
        let reader = Arc::new(Reader);
        if let Way::Connection(taken) = &way {
            let stream = &taken.stream;
            assert!(stream.try_read(&mut [0]).is_err(), "nothing was said");
            let waker = waker_ref(&reader);
            let read = stream.poll_read_ready(&mut Context::from_waker(&waker));
            assert!(read.is_pending());
        }
        assert_eq!(Arc::strong_count(&reader), 2);
        assert!(way.closed().now_or_never().is_none());
        assert_eq!(Arc::strong_count(&reader), 1);
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_and_one_that_says_a_word_is_not_gone() {
        let (mut client, mut way) = connection("").await;
        client.write_all(b"hello").await.expect("sent");
        let talks = timeout(Duration::from_millis(50), way.closed()).await;
        assert!(talks.is_err(), "it is there");
        way.tell(":\n\n".to_owned()).await.expect("sent");
        drop(client);
        timeout(PATIENCE, way.closed())
            .await
            .expect("noticed in time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_does_not_stop_talking_is_given_up() {
        let (mut client, mut way) = connection("").await;
        let talking =
            tokio::spawn(
                async move { while client.write_all(&[b'x'; HEARD_AT_ONCE]).await.is_ok() {} },
            );
        timeout(PATIENCE, way.closed()).await.expect("given up");
        drop(way);
        let told = timeout(PATIENCE, talking).await;
        told.expect("it is told").expect("no panic");
    }
}

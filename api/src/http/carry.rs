//! Carries the events of a response: over its connection alone, which is taken from the HTTP server, or as a body where it can not be.
//!
//! The outermost layer, so that the response's head is what every other layer made of it. See `connection` for why.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use shop_core::runtime::clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::connection::Connection;

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Bytes that a chunk has around its event, at most.
const CHUNK_FRAME: usize = 20;
/// Events that wait for a body's connection.
const UNSENT: usize = 1;
/// Bytes that are read at once of what a client says while it is told events, and dropped.
const IDLE_TALK: usize = 64;

/// What a response tells, event by event, on whatever [`Way`] there is. In the response's extensions.
#[derive(Clone)]
pub struct Events(Arc<Mutex<Option<Teller>>>);

type Teller = Box<dyn FnOnce(Way) -> Telling + Send>;
type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Events {
    /// For one response. Ends when the future does.
    pub fn told<F>(by: impl FnOnce(Way) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let teller: Teller = Box::new(move |way| Box::pin(by(way)));
        Self(Arc::new(Mutex::new(Some(teller))))
    }

    fn take(&self) -> Option<Teller> {
        let mut teller = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        teller.take()
    }
}

/// How events get to a client.
pub enum Way {
    /// Through the HTTP server.
    Body(Sender<String>),
    /// Over a connection that was taken from it.
    Connection(TcpStream),
}

impl Way {
    /// Sends an event, or waits until it can be; no event is taken before the one before it is on its way.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn tell(&mut self, event: String) -> io::Result<()> {
        match self {
            Self::Body(events) => {
                let sent = events.send(event).await;
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
            Self::Connection(stream) => {
                let mut chunk = Vec::with_capacity(event.len() + CHUNK_FRAME);
                write!(chunk, "{:x}\r\n{event}\r\n", event.len())?;
                stream.write_all(&chunk).await
            }
        }
    }

    /// Waits until the client is gone.
    pub async fn closed(&self) {
        match self {
            Self::Body(events) => events.closed().await,
            Self::Connection(stream) => gone(stream).await,
        }
    }

    /// Says that there is nothing more to tell. Without it the client takes the connection for lost.
    pub async fn end(self) {
        if let Self::Connection(mut stream) = self {
            // Who does not take it any more need not know.
            let _ = stream.write_all(LAST_CHUNK).await;
            let _ = stream.shutdown().await;
        }
    }
}

/// Where connections that were taken are served, and how long one may take to read what is sent.
#[derive(Debug, Clone)]
pub struct Carrier {
    /// Waited for when the program stops.
    pub tasks: TaskTracker,
    /// For one event.
    pub patience: Duration,
}

/// Answers a request, and sees to its events if it has some.
pub async fn carry(State(carrier): State<Carrier>, request: Request, next: Next) -> Response {
    let connection = connection_of(&request);
    let mut response = next.run(request).await;
    let events = response.extensions_mut().remove::<Events>();
    let Some(teller) = events.and_then(|events| events.take()) else {
        return response;
    };
    let Some(stream) = connection.and_then(|connection| connection.take()) else {
        let (events, unsent) = mpsc::channel(UNSENT);
        *response.body_mut() = body(unsent);
        carrier.tasks.spawn(teller(Way::Body(events)));
        return response;
    };
    let head = head(response.status(), response.headers());
    carrier
        .tasks
        .spawn(begin(stream, head, teller, carrier.patience));
    // Nobody reads it.
    [(header::CONNECTION, "close")].into_response()
}

/// Tells a client that takes the head in time.
fn begin(mut stream: TcpStream, head: Vec<u8>, teller: Teller, patience: Duration) -> Telling {
    Box::pin(async move {
        if let Ok(Ok(())) = timeout(patience, stream.write_all(&head)).await {
            drop(head);
            teller(Way::Connection(stream)).await;
        }
    })
}

/// The connection of a request after which nothing else has to be said on it.
fn connection_of(request: &Request) -> Option<Connection> {
    let is_plain = request.version() == Version::HTTP_11
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

/// Waits until the client goes; what it says meanwhile is dropped.
async fn gone(stream: &TcpStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let mut talk = [0; IDLE_TALK];
        match stream.try_read(&mut talk) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("connected"), server.expect("accepted").0)
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
        let (mut client, server) = connection().await;
        let mut way = Way::Connection(server);
        for event in [":\n\n", "data: 0123456789\n\n"] {
            way.tell(event.to_owned()).await.expect("sent");
        }
        way.end().await;
        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("text");
        assert_eq!(
            told,
            "3\r\n:\n\n\r\n12\r\ndata: 0123456789\n\n\r\n0\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_and_one_that_talks_is_not_gone() {
        let (mut client, server) = connection().await;
        let mut way = Way::Connection(server);
        client
            .write_all(&[b'x'; 10 * IDLE_TALK])
            .await
            .expect("sent");
        let talks = timeout(Duration::from_millis(50), way.closed()).await;
        assert!(talks.is_err(), "it is there");
        way.tell(":\n\n".to_owned()).await.expect("sent");
        drop(client);
        timeout(PATIENCE, way.closed())
            .await
            .expect("noticed in time");
    }
}

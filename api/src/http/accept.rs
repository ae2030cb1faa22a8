//! Accepts connections and serves HTTP/1.1 on them, within bounds: how many there are, how long the head of a request takes and how
//! large it is, and how long a connection waits for the next request.
//!
//! Knows nothing of requests but that a router answers them.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Request, service};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use shop_core::runtime::Shutdown;
use shop_core::runtime::metrics::HTTP_REFUSED;
use shop_core::runtime::settings::HttpSettings;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use super::connection::{Connection, Line};
use super::leftover;
use super::parting;
use super::pulse::{Ends, Happens, Patience};
use super::seats::Seats;

/// Bytes of a request's head, at most; a larger one is refused with 431.
const HEAD_BYTES: usize = 16 * 1024;
/// Bytes that are read at once, at most.
const READ_BYTES: usize = 64 * 1024;
/// Connections that wait to be accepted, at most; the system may allow fewer (`net.core.somaxconn`). Who finds no place there is not told
/// so and tries again after one second, three, and seven: so a crowd that comes back at once, as after a deploy, has to fit.
const BACKLOG: u32 = 4_096;
/// How long nothing may come from a client before its system is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long after one such question comes the next.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long a client's system may leave unanswered what it is sent or asked, at least.
#[cfg(target_os = "linux")]
const UNANSWERED: Duration = Duration::from_secs(30);
/// To who finds no seat.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// To who takes too long over a head.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Listens at an address, with room for a crowd that comes at once.
///
/// # Errors
/// If the address can not be had.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?; // connections of a program that was there before do not keep the address
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until the program is asked to stop, and then until the requests under way are answered.
pub async fn serve(
    mut listener: TcpListener,
    router: &Router,
    settings: &HttpSettings,
    shutdown: &Shutdown,
) {
    let seats = Seats::new(settings);
    let patience = Patience {
        head: settings.read_timeout,
        idle: settings.idle_timeout,
        drain: settings.drain,
    };
    let connections = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.requested() => break,
        };
        let Some(seat) = seats.take(peer.ip()) else {
            metrics::counter!(HTTP_REFUSED, "reason" => "connections").increment(1);
            say_last(stream, TURNED_AWAY);
            continue;
        };
        prepare(&stream, settings);
        let line = Line { stream, seat };
        let served = converse(line, peer, router.clone(), patience, shutdown.clone());
        connections.spawn(served);
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Has the system send at once, and notice a client whose machine or network is gone. On an event stream nobody else does for long: the
/// little that it is told fits into what the system holds.
fn prepare(stream: &TcpStream, settings: &HttpSettings) {
    // What is live must not wait for more to send.
    note("TCP_NODELAY", stream.set_nodelay(true));
    note("SO_KEEPALIVE", sockopt::set_socket_keepalive(stream, true));
    note("TCP_KEEPIDLE", sockopt::set_tcp_keepidle(stream, SILENCE));
    note(
        "TCP_KEEPINTVL",
        sockopt::set_tcp_keepintvl(stream, ASK_AGAIN),
    );
    #[cfg(target_os = "linux")]
    {
        // It counts as well while a client is there and takes nothing, for which there is a setting: it must not be cut short.
        let unanswered = settings.idle_timeout.max(UNANSWERED);
        let millis = u32::try_from(unanswered.as_millis()).unwrap_or(u32::MAX);
        note(
            "TCP_USER_TIMEOUT",
            sockopt::set_tcp_user_timeout(stream, millis),
        );
    }
    #[cfg(not(target_os = "linux"))]
    let _ = settings;
}

/// A connection does without an option that can not be set.
fn note<E: Display>(option: &str, set: Result<(), E>) {
    if let Err(error) = set {
        tracing::debug!("failed to set {option}: {error}");
    }
}

/// Serves one connection.
async fn converse(
    line: Line,
    peer: SocketAddr,
    router: Router,
    patience: Patience,
    shutdown: Shutdown,
) {
    let connection = Connection::new(line, peer);
    let answers = Answers {
        router,
        connection: connection.clone(),
    };
    let mut http = http1::Builder::new();
    http.max_header_size(HEAD_BYTES).max_buf_size(READ_BYTES);
    let io = TokioIo::new(connection.clone());
    let mut conversation = pin!(http.serve_connection(io, answers).with_upgrades());
    let mut stop = pin!(shutdown.requested());
    let mut timer = pin!(sleep_until(Instant::now() + patience.head));
    let mut ends = Ends::new(patience);
    let ended = poll_fn(|cx| {
        if !ends.is_stopping() && stop.as_mut().poll(cx).is_ready() {
            ends.stop();
            conversation.as_mut().graceful_shutdown();
        }
        if conversation.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            let happens = connection.pulse().now();
            let due = ends.due(happens);
            // One that is set too early wakes this once for nothing, which costs less than setting it anew for every request.
            if due.is_some_and(|due| due < timer.deadline()) || timer.is_elapsed() {
                let now = Instant::now();
                match due {
                    Some(due) if due <= now => return Poll::Ready(Some(happens)),
                    due => timer.as_mut().reset(due.unwrap_or(now + patience.idle)),
                }
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    if let Some(Happens::Sends(_) | Happens::Unread(_)) = ended {
        metrics::counter!(HTTP_REFUSED, "reason" => "slow").increment(1);
    }
    // Who has not read its answer would take what is said for a part of it.
    if let Some(Happens::Sends(_)) = ended
        && let Some(line) = connection.take()
    {
        if ends.is_stopping() {
            say_last(line.stream, TOO_SLOW);
        } else {
            parting::say_and_part(line.stream, TOO_SLOW).await;
        }
    }
}

/// Says something that fits into what the system holds for a client, and closes.
fn say_last(stream: TcpStream, words: &[u8]) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(words); // who does not hear it sees the connection close
    }
}

/// Answers the requests of a connection.
struct Answers {
    router: Router,
    connection: Connection,
}

impl service::Service<Request<Incoming>> for Answers {
    type Response = Response<Lasting>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let served = Served::begin(&self.connection);
        let info = ConnectInfo(self.connection.clone());
        request.extensions_mut().insert(info);
        // Who asks first is told before it sends.
        let asks_first = request.headers().contains_key(header::EXPECT);
        let (head, body) = request.into_parts();
        let (body, leftover) = leftover::lend(body);
        let answer = self.router.clone().call(Request::from_parts(head, body));
        Box::pin(async move {
            let mut response = answer.await?;
            if !leftover.pass_over(asks_first).await {
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Lasting {
                body,
                _served: served,
            }))
        })
    }
}

/// A request as long as it is answered.
struct Served(Connection);

impl Served {
    fn begin(connection: &Connection) -> Self {
        connection.pulse().serves();
        Self(connection.clone())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.pulse().has_served();
    }
}

/// The body of an answer, which is answered as long as it lasts.
struct Lasting {
    body: Body,
    _served: Served,
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use shop_core::runtime::Settings;
    use shop_core::runtime::open_files;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{pause, resume, sleep, timeout};

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(1),
        idle: Duration::from_secs(10),
        drain: Duration::from_millis(500),
    };
    /// Bytes of an answer that does not fit into what the system holds for a client.
    const ANSWER_BYTES: usize = 32 * 1024 * 1024;

    /// A client, and the conversation with it, which is yet to begin.
    async fn client(shutdown: &Shutdown) -> (TcpStream, BoxFuture<'static, ()>) {
        let router = Router::new().fallback(async || "x".repeat(ANSWER_BYTES));
        client_of(router, shutdown).await
    }

    async fn client_of(router: Router, shutdown: &Shutdown) -> (TcpStream, BoxFuture<'static, ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a buffer");
        let (client, server) = tokio::join!(socket.connect(address), listener.accept());
        let (client, (stream, peer)) = (client.expect("connected"), server.expect("accepted"));
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let seat = Seats::new(&settings.edge.http).take(peer.ip());
        let seat = seat.expect("a seat");
        let line = Line { stream, seat };
        let conversation = converse(line, peer, router, PATIENCE, shutdown.clone());
        (client, Box::pin(conversation))
    }

    /// Asks, begins to ask for more, and reads nothing. From then on nothing takes time but what the test waits for.
    async fn ask(client: &mut TcpStream) {
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(request).await.expect("said");
        client.readable().await.expect("an answer");
        client.write_all(b"G").await.expect("said");
        sleep(Duration::from_millis(20)).await; // heard
        pause();
    }

    /// The body of what a client is told until the connection ends.
    async fn told(mut client: TcpStream) -> Vec<u8> {
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.expect("all of it");
        let head = told.windows(4).position(|four| four == b"\r\n\r\n");
        told.split_off(head.expect("a head") + 4)
    }

    /// What a client is answered until it has heard `end`, or the connection ends.
    async fn heard(client: &mut TcpStream, end: &str) -> String {
        let mut heard = String::new();
        while !heard.ends_with(end) {
            let mut bytes = [0; 1024];
            match client.read(&mut bytes).await.expect("an answer") {
                0 => break,
                some => heard.push_str(std::str::from_utf8(&bytes[..some]).expect("text")),
            }
        }
        heard
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_crowd_that_comes_at_once_waits_to_be_accepted() {
        const CROWD: usize = 1_500;
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let allowed = allowed.expect("a number").trim().parse().expect("a number");
        open_files::raise(2 * CROWD);
        let address = ([127, 0, 0, 1], 0).into();
        let address = listen(address).and_then(|it| Ok((it.local_addr()?, it)));
        let (address, _listener) = address.expect("a free port");
        let mut crowd = Vec::new();
        for _ in 0..CROWD.min(allowed) {
            let client = timeout(Duration::from_secs(10), TcpStream::connect(address)).await;
            crowd.push(client.expect("a place in the queue").expect("connected"));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_notices_a_client_that_is_gone_and_leaves_one_that_is_slow_its_time() {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        for (idle, unanswered) in [(75, 75_000), (1, 30_000)] {
            let http = HttpSettings {
                idle_timeout: Duration::from_secs(idle),
                ..settings.edge.http.clone()
            };
            let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (_client, (stream, _)) = (client.expect("connected"), server.expect("accepted"));
            prepare(&stream, &http);
            assert!(stream.nodelay().expect("TCP_NODELAY"));
            assert!(sockopt::socket_keepalive(&stream).expect("SO_KEEPALIVE"));
            assert_eq!(sockopt::tcp_keepidle(&stream), Ok(SILENCE));
            assert_eq!(sockopt::tcp_keepintvl(&stream), Ok(ASK_AGAIN));
            assert_eq!(sockopt::tcp_user_timeout(&stream), Ok(unanswered));
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_before_the_body_says_whether_the_connection_goes_on() {
        let router = Router::new().fallback(async || "no");
        let (mut client, conversation) = client_of(router, &Shutdown::new()).await;
        let conversation = tokio::spawn(conversation);
        let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n";
        for _ in 0..3 {
            client.write_all(request.as_bytes()).await.expect("said");
            client.write_all(b"\r\n").await.expect("said");
            sleep(Duration::from_millis(20)).await; // the head alone is heard
            client.write_all(b"hello").await.expect("said");
            let answer = heard(&mut client, "no").await;
            assert!(answer.ends_with("no"), "{answer:?}");
            assert!(!answer.contains("connection: close"), "{answer}");
        }
        let asks_first = format!("{request}expect: 100-continue\r\n\r\n");
        client.write_all(asks_first.as_bytes()).await.expect("said");
        let begun = Instant::now();
        let answer = heard(&mut client, "no").await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(!answer.contains("100 Continue"), "{answer}");
        assert!(begun.elapsed() < Duration::from_millis(900), "told at once");
        assert_eq!(client.read(&mut [0]).await.expect("its end"), 0);
        conversation.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_ends_the_connection() {
        let router = Router::new().fallback(async || "no");
        let (mut client, conversation) = client_of(router, &Shutdown::new()).await;
        let conversation = tokio::spawn(conversation);
        let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe";
        client.write_all(request.as_bytes()).await.expect("said");
        let answer = heard(&mut client, "no").await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(client.read(&mut [0]).await.expect("its end"), 0);
        conversation.await.expect("no panic");
    }

    #[tokio::test]
    async fn nothing_is_said_into_an_answer_that_is_read_slowly() {
        let (mut client, conversation) = client(&Shutdown::new()).await;
        let conversation = tokio::spawn(conversation);
        ask(&mut client).await;
        sleep(5 * PATIENCE.head).await;
        assert!(!conversation.is_finished());
        resume(); // reading takes time of its own
        let told = told(client).await;
        let (answer, last) = told.split_at(ANSWER_BYTES);
        assert!(answer.iter().all(|byte| *byte == b'x'));
        assert_eq!(last, TOO_SLOW, "now the next head has its time");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_is_given_up_without_a_word() {
        let (mut client, conversation) = client(&Shutdown::new()).await;
        let conversation = tokio::spawn(conversation);
        ask(&mut client).await;
        let begun = Instant::now();
        conversation.await.expect("no panic");
        assert!(begun.elapsed() > PATIENCE.idle / 2);
        assert!(begun.elapsed() < 2 * PATIENCE.idle);
        resume();
        let told = told(client).await;
        assert!(told.len() < ANSWER_BYTES);
        assert!(told.iter().all(|byte| *byte == b'x'));
    }

    #[tokio::test]
    async fn when_the_program_stops_nobody_is_waited_for_longer_than_a_moment() {
        let shutdown = Shutdown::new();
        let (_silent, silence) = client(&shutdown).await;
        let (mut slow, head) = client(&shutdown).await;
        let (mut deaf, answer) = client(&shutdown).await;
        let conversations = [silence, head, answer].map(tokio::spawn);
        slow.write_all(b"GET / HT").await.expect("said");
        ask(&mut deaf).await;
        let begun = Instant::now();
        shutdown.request();
        for conversation in conversations {
            conversation.await.expect("no panic");
        }
        assert!(begun.elapsed() + PATIENCE.drain / 2 < PATIENCE.head);
    }
}

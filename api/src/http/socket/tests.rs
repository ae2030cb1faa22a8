//! Sessions over a socket in memory and under a clock that is turned by hand, with the limits as they are by default.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::Request;
use axum::extract::ws::Message;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use futures::{Sink, Stream};
use serde_json::{Value, json};
use shop_core::domain::{Timestamp, UserId};
use shop_core::runtime::settings::SocketSettings;
use shop_core::runtime::{Settings, Shutdown, clock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::ending::Ending;
use super::session::{Host, Session, Verdict};
use super::transport_ws;
use crate::http::operations::{Started, Step};
use crate::http::places::{Halls, Standing};
use crate::identity::tests::a_caller;
use crate::identity::{Caller, Denied, Identity};

type Frame = Result<Message, axum::Error>;

/// The server's end of a socket. While the client does not read, nothing can be written.
struct Fake {
    said: UnboundedReceiver<Frame>,
    told: UnboundedSender<Message>,
    reads: Arc<AtomicBool>,
}

impl Fake {
    fn ready(&self) -> Poll<Result<(), axum::Error>> {
        if self.reads.load(Ordering::Relaxed) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl Stream for Fake {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.said.poll_next_unpin(cx)
    }
}

impl Sink<Message> for Fake {
    type Error = axum::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.ready()
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
        let _ = self.told.unbounded_send(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.ready()
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Poll::Ready(Ok(()))
    }
}

/// A program whose operations are what a closure begins, and whose only tokens are names of callers.
struct Begins<B>(B);

impl<B: Fn(Request) -> Started> Host for Begins<B> {
    fn begin(&self, request: Request, _: &Identity) -> Started {
        (self.0)(request)
    }

    fn verify(&self, token: String) -> BoxFuture<'static, Verdict> {
        let verdict = match token.as_str() {
            "fresh" => Ok(a_caller()),
            "brief" => Ok(Caller {
                until: Timestamp::from_millis(clock::now().millis() + 5_000),
                ..a_caller()
            }),
            "other" => Ok(Caller {
                user: UserId::from_uuid(uuid::Uuid::nil()),
                ..a_caller()
            }),
            _ => Err(Denied::Signature),
        };
        Box::pin(async move {
            if token == "slow" {
                sleep(Duration::from_secs(2)).await;
            }
            tokio::task::yield_now().await; // as if keys had to be read
            verdict
        })
    }
}

/// A client and the session that serves it.
struct Client {
    says: UnboundedSender<Frame>,
    hears: UnboundedReceiver<Message>,
    reads: Arc<AtomicBool>,
    shutdown: Shutdown,
    opened: Instant,
    session: JoinHandle<(Ending, Duration)>,
}

impl Client {
    /// A client of a server whose operations are what `begin` begins.
    fn connect(begin: impl Fn(Request) -> Started + Send + 'static) -> Self {
        Self::connect_with(begin, Duration::ZERO)
    }

    /// The same of a server that takes so long to hand its clients over.
    fn connect_with(
        begin: impl Fn(Request) -> Started + Send + 'static,
        handover: Duration,
    ) -> Self {
        let standing = Halls::new(1, 0).take(a_caller().user).expect("a place");
        Self::stand(begin, handover, Some(a_caller().into()), standing)
    }

    /// The same of one that is known, or not yet.
    fn stand(
        begin: impl Fn(Request) -> Started + Send + 'static,
        handover: Duration,
        given: Option<Identity>,
        standing: Standing,
    ) -> Self {
        let (says, said) = unbounded();
        let (told, hears) = unbounded();
        let reads = Arc::new(AtomicBool::new(true));
        let fake = Fake {
            said,
            told,
            reads: Arc::clone(&reads),
        };
        let (shutdown, opened) = (Shutdown::new(), Instant::now());
        let limits = Arc::new(SocketSettings {
            handover,
            ..limits()
        });
        let dialect = &transport_ws::DIALECT;
        let mut session = Session::new(fake, dialect, Begins(begin), given, standing, limits);
        let stop = shutdown.clone();
        let session = tokio::spawn(async move {
            let ending = session.run(&stop).await;
            (ending, opened.elapsed())
        });
        Self {
            says,
            hears,
            reads,
            shutdown,
            opened,
            session,
        }
    }

    fn say(&self, message: &Value) {
        let message = Message::text(message.to_string());
        self.says.unbounded_send(Ok(message)).expect("a session");
    }

    fn init(&self) {
        self.say(&json!({ "type": "connection_init" }));
    }

    fn subscribe(&self, id: &str) {
        self.say(&json!({ "type": "subscribe", "id": id, "payload": { "query": "{a}" } }));
    }

    /// The next frame, in words, and how many seconds after the beginning it came.
    async fn hear(&mut self) -> (String, u64) {
        let words = match self.hears.next().await {
            Some(Message::Text(text)) => text.to_string(),
            Some(Message::Ping(_)) => "ping".to_owned(),
            Some(Message::Close(Some(frame))) => frame.code.to_string(),
            other => format!("{other:?}"),
        };
        (words, self.opened.elapsed().as_secs())
    }

    /// Why and after how many seconds it ended.
    async fn ended(self) -> (Ending, u64) {
        let (ending, after) = self.session.await.expect("no panic");
        (ending, after.as_secs())
    }
}

fn limits() -> SocketSettings {
    let settings = Settings::read(&|_| None).expect("the defaults are valid");
    settings.edge.socket
}

fn nothing(_: Request) -> Started {
    Started {
        once: false,
        steps: stream::pending().boxed(),
    }
}

const ACK: &str = r#"{"type":"connection_ack"}"#;

#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let mut client = Client::connect(nothing);
    client.say(&json!({ "type": "ping" }));
    assert_eq!(client.hear().await.0, r#"{"type":"pong"}"#);
    assert_eq!(client.hear().await, ("4408".to_owned(), 10));
    assert_eq!(client.ended().await.0, Ending::InitTimeout);

    let mut client = Client::connect(nothing);
    sleep(Duration::from_millis(9_900)).await;
    client.init();
    assert_eq!(client.hear().await, (ACK.to_owned(), 9));
    assert_eq!(client.hear().await, ("ping".to_owned(), 20));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_given_up_after_a_minute() {
    let mut client = Client::connect(nothing);
    client.init();
    assert_eq!(client.hear().await.0, ACK);
    for at in [20, 40] {
        assert_eq!(client.hear().await, ("ping".to_owned(), at));
    }
    let pong = Message::Pong(Vec::new().into());
    client.says.unbounded_send(Ok(pong)).expect("a session");
    for at in [60, 80] {
        assert_eq!(client.hear().await, ("ping".to_owned(), at));
    }
    let (words, at) = client.hear().await;
    assert_eq!(
        (words.as_str(), at),
        ("3008", 100),
        "a minute after the pong"
    );
    assert_eq!(client.ended().await.0, Ending::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_has_ten_seconds_and_ten_more_for_the_reason() {
    let mut client = Client::connect(nothing);
    client.init();
    assert_eq!(client.hear().await.0, ACK);
    client.reads.store(false, Ordering::Relaxed);
    client.say(&json!({ "type": "ping" }));
    assert_eq!(client.ended().await, (Ending::Slow, 20));

    let mut client = Client::connect(nothing);
    client.init();
    assert_eq!(client.hear().await.0, ACK);
    client.reads.store(false, Ordering::Relaxed);
    client.say(&json!({ "type": "ping" }));
    sleep(Duration::from_secs(9)).await;
    client.reads.store(true, Ordering::Relaxed);
    client.say(&json!({ "type": "ping" })); // wakes the session
    assert_eq!(client.hear().await, (r#"{"type":"pong"}"#.to_owned(), 9));
    assert!(!client.session.is_finished());
}

#[tokio::test(start_paused = true)]
async fn operations_are_held_back_while_the_queue_is_full() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let mut client = Client::connect(move |_| {
        let made = Arc::clone(&counted);
        let steps = stream::repeat_with(move || {
            made.fetch_add(1, Ordering::Relaxed);
            Step::Next("{}".into())
        });
        Started {
            once: false,
            steps: steps.boxed(),
        }
    });
    client.init();
    assert_eq!(client.hear().await.0, ACK);
    client.reads.store(false, Ordering::Relaxed);
    client.subscribe("1");
    client.subscribe("2");
    sleep(Duration::from_secs(5)).await;
    let held = made.load(Ordering::Relaxed);
    let most = limits().queue_messages;
    assert!((most..most + 4).contains(&held), "{held} were made");
    assert_eq!(client.ended().await.0, Ending::Slow);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_stops_ends_streams_at_once_and_lets_single_answers_come() {
    let once = |_| Started {
        once: true,
        steps: stream::once(async {
            sleep(Duration::from_secs(2)).await;
            Step::Next("{}".into())
        })
        .boxed(),
    };
    let mut client = Client::connect(once);
    client.init();
    client.subscribe("1");
    assert_eq!(client.hear().await.0, ACK);
    client.shutdown.request();
    sleep(Duration::from_secs(1)).await;
    client.subscribe("2");
    let (late, at) = client.hear().await;
    assert!(
        late.contains("UNAVAILABLE") && late.contains(r#""id":"2""#),
        "{late}"
    );
    assert_eq!(at, 1);
    let next = r#"{"id":"1","type":"next","payload":{}}"#.to_owned();
    assert_eq!(client.hear().await, (next, 2));
    let complete = r#"{"id":"1","type":"complete"}"#.to_owned();
    assert_eq!(client.hear().await, (complete, 2));
    assert_eq!(client.hear().await, ("1001".to_owned(), 2));
    assert_eq!(client.ended().await.0, Ending::Stopping);

    let mut client = Client::connect(nothing);
    client.init();
    client.subscribe("1");
    assert_eq!(client.hear().await.0, ACK);
    client.shutdown.request();
    assert_eq!(client.hear().await, ("1001".to_owned(), 0));

    let never = |_| Started {
        once: true,
        steps: stream::pending().boxed(),
    };
    let mut client = Client::connect(never);
    client.init();
    client.subscribe("1");
    assert_eq!(client.hear().await.0, ACK);
    client.shutdown.request();
    assert_eq!(client.hear().await, ("1001".to_owned(), 5));
}

#[tokio::test(start_paused = true)]
async fn when_the_program_stops_a_goodbye_takes_a_moment_whether_it_is_read_answered_or_neither() {
    let second = Duration::from_secs(1);
    let never = |_| Started {
        once: true,
        steps: stream::pending().boxed(),
    };
    for (reads, is_asked, seconds) in [(true, false, 2), (false, false, 2), (false, true, 6)] {
        let mut client = Client::connect(never);
        client.init();
        assert_eq!(client.hear().await.0, ACK);
        if is_asked {
            client.subscribe("1");
        }
        client.reads.store(reads, Ordering::Relaxed);
        client.say(&json!({ "type": "ping" }));
        sleep(second).await;
        client.shutdown.request();
        let ended = client.ended().await;
        assert_eq!(ended, (Ending::Stopping, 1 + seconds), "{reads} {is_asked}");
    }

    let mut slow = Client::connect(nothing);
    slow.init();
    assert_eq!(slow.hear().await.0, ACK);
    slow.reads.store(false, Ordering::Relaxed);
    slow.say(&json!({ "type": "ping" }));
    sleep(15 * second).await;
    slow.shutdown.request();
    let ended = slow.ended().await;
    assert_eq!(ended, (Ending::Slow, 17), "it was being told why");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_stops_hands_its_sockets_over_one_after_the_other_and_serves_them_until_then()
 {
    let handover = limits().handover;
    let every_100_ms = |_| {
        let steps = stream::unfold((), async |()| {
            sleep(Duration::from_millis(100)).await;
            Some((Step::Next("{}".into()), ()))
        });
        Started {
            once: false,
            steps: steps.boxed(),
        }
    };
    let clients = (0..100).map(|_| async {
        let mut client = Client::connect_with(every_100_ms, handover);
        client.init();
        client.subscribe("1");
        assert_eq!(client.hear().await.0, ACK);
        let asked = Instant::now();
        client.shutdown.request();
        let mut told = 0;
        loop {
            match client.hear().await.0.as_str() {
                "1001" => break,
                _ => told += 1,
            }
        }
        (asked.elapsed(), told)
    });
    let mut seconds = std::collections::BTreeSet::new();
    for (after, told) in futures::future::join_all(clients).await {
        assert!(after <= handover + Duration::from_millis(1), "{after:?}");
        assert!(told + 1 >= after.as_millis() / 100, "{told} in {after:?}");
        seconds.insert(after.as_secs());
    }
    assert!(seconds.len() >= 3, "{seconds:?}");
}

/// A handshake, or later a fresh token.
fn init_with(token: &str) -> Value {
    let authorization = format!("Bearer {token}");
    json!({ "type": "connection_init", "payload": { "authorization": authorization } })
}

#[tokio::test(start_paused = true)]
async fn a_socket_ends_with_its_token_and_nothing_is_told_after_that() {
    let mut client = Client::connect(|_| {
        let steps = stream::unfold((), async |()| {
            sleep(Duration::from_millis(100)).await;
            Some((Step::Next("{}".into()), ()))
        });
        Started {
            once: false,
            steps: steps.boxed(),
        }
    });
    client.say(&init_with("brief"));
    assert_eq!(client.hear().await.0, ACK);
    client.subscribe("1");
    let mut told = 0;
    loop {
        let (words, at) = client.hear().await;
        if words == "4403" {
            assert!(at <= 5, "closed after {at} s");
            break;
        }
        told += 1;
    }
    assert!((1..=50).contains(&told), "{told} answers in 5 s");
    assert_eq!(client.ended().await.0, Ending::Denied(Denied::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_of_the_same_user_goes_on_without_a_word_about_it() {
    for fresh in [
        init_with("fresh"),
        json!({ "type": "ping", "payload": { "headers": { "Authorization": "Bearer fresh" } } }),
    ] {
        let mut client = Client::connect(nothing);
        client.say(&init_with("brief"));
        assert_eq!(client.hear().await.0, ACK);
        client.subscribe("1");
        client.say(&fresh);
        let answer = client.hear().await.0;
        assert!(!answer.contains("Bearer"), "{answer}");
        assert_eq!(client.hear().await, ("ping".to_owned(), 20));
    }
}

#[tokio::test(start_paused = true)]
async fn of_tokens_that_are_shown_at_once_the_newest_counts_and_all_are_answered() {
    let mut client = Client::connect(nothing);
    client.say(&init_with("brief"));
    assert_eq!(client.hear().await.0, ACK);
    let payload = json!({ "authorization": "Bearer slow" });
    client.say(&json!({ "type": "ping", "payload": payload }));
    client.say(&init_with("slow"));
    client.say(&init_with("fresh"));
    let pong = r#"{"type":"pong"}"#;
    for answer in [pong, ACK, ACK] {
        assert_eq!(client.hear().await, (answer.to_owned(), 0));
    }
    assert_eq!(client.hear().await, ("ping".to_owned(), 20));

    client.say(&init_with("fresh"));
    client.say(&init_with("forged"));
    while client.hear().await.0 == ACK {}
    assert_eq!(client.ended().await.0, Ending::Denied(Denied::Signature));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_taken_ends_the_socket_whenever_it_is_shown() {
    for (first, second, denied) in [
        ("forged", None, Denied::Signature),
        ("brief", Some("forged"), Denied::Signature),
        ("brief", Some("other"), Denied::OtherUser),
    ] {
        let mut client = Client::connect(nothing);
        client.say(&init_with(first));
        if let Some(second) = second {
            assert_eq!(client.hear().await.0, ACK);
            client.say(&init_with(second));
        }
        assert_eq!(client.hear().await.0, "4403");
        assert_eq!(client.ended().await.0, Ending::Denied(denied));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_the_token_is_verified_is_heard_after_that() {
    let mut client = Client::connect(|_| {
        let steps = stream::iter([Step::Next("{}".into())]);
        Started {
            once: false,
            steps: steps.boxed(),
        }
    });
    client.say(&init_with("fresh"));
    client.subscribe("1");
    assert_eq!(client.hear().await.0, ACK);
    assert!(client.hear().await.0.contains("next"));

    let mut client = Client::connect(nothing);
    client.say(&init_with("forged"));
    client.subscribe("1");
    assert_eq!(client.hear().await.0, "4403");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_takes_a_place_of_users_when_it_says_who_it_is_and_gives_it_back() {
    let halls = Halls::new(1, 0);
    let stranger = || Client::stand(nothing, Duration::ZERO, None, halls.take_as_stranger());
    let mut first = stranger();
    let user = halls.take(a_caller().user).expect("no stranger takes it");
    first.say(&init_with("fresh"));
    assert_eq!(first.hear().await.0, "1013", "there is one user");
    assert_eq!(first.ended().await.0, Ending::Crowded);
    drop(user);

    let mut second = stranger();
    second.say(&init_with("fresh"));
    assert_eq!(second.hear().await.0, ACK);
    assert!(halls.take(a_caller().user).is_none(), "it has moved");
    drop(halls.take_as_stranger());
    drop(second.says);
    second.session.await.expect("no panic");
    assert!(halls.take(a_caller().user).is_some());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_strangers_the_first_leaves_at_once_and_who_is_known_stays() {
    let halls = Halls::new(1, 0);
    let stranger = || Client::stand(nothing, Duration::ZERO, None, halls.take_as_stranger());
    let mut known = stranger();
    known.say(&init_with("fresh"));
    assert_eq!(known.hear().await.0, ACK);

    let mut silent = stranger();
    let begun = Instant::now();
    let _next = stranger();
    assert_eq!(silent.hear().await.0, "1013");
    assert_eq!(silent.ended().await.0, Ending::Crowded);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(known.hear().await.0, "ping", "nobody else is sent away");
}

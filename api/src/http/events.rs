//! `/graphql` with `Accept: text/event-stream`: one operation whose answers are server-sent events, by the "distinct
//! connections mode" of `graphql-sse`. `curl -N` is client enough. By GET too, since a browser's `EventSource` knows nothing
//! else: then no mutation, and not for pages of other origins.
//!
//! An event of a stream that can be gone on with has the item's cursor as its id. A client that lost its connection gives the
//! last one back in `Last-Event-ID`, a browser by itself, and the stream goes on after it.
//!
//! Nothing is made ahead of the client's reading; one that does not read is given up after the same time as on a socket.

use std::pin::pin;
use std::time::Duration;

use async_graphql::Request;
use axum::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream::StreamExt as _;
use shop_core::events::TraceParent;
use shop_core::runtime::metrics::LIVE_ENDINGS;
use shop_core::runtime::settings::SocketSettings;
use shop_core::runtime::{Shutdown, trace};
use tokio::time::{Instant, sleep, timeout};

use super::Edge;
use super::carry::{Events, Way};
use super::execute::has_one_root;
use super::operations::{Started, Step, expired};
use super::post::TRACE_ID;
use crate::graphql::subscription::EventIds;
use crate::identity::Identity;

/// The media type of such an answer.
pub const EVENT_STREAM: &str = "text/event-stream";
const TRANSPORT: &str = "graphql-sse";
/// How often a comment says that the connection lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(12);
/// The least that can be said.
pub const COMMENT: &str = ":\n\n";
/// The last event. Browsers pass over one without data.
const COMPLETE: &str = "event: complete\ndata:\n\n";
/// What the client of a stream is told at the beginning, and when the program stops: to come back after so many milliseconds.
pub const COME_BACK: &str = "retry: 1000\n\n";
/// What a client that comes back had last.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Runs one operation.
pub fn respond(
    edge: &Edge,
    identity: &Identity,
    headers: &HeaderMap,
    mut request: Request,
    trace: TraceParent,
) -> Response {
    let ids = EventIds::after(last_event_id(headers));
    // The events of several root fields come as they like: then none has an id.
    if has_one_root(&mut request) {
        request = request.data(ids.clone());
    }
    let trace_id = trace.trace_id().to_owned();
    let mut started = edge.operations.start(request, identity, trace);
    let identity = identity.clone();
    let limits = Limits::of(&edge.socket);
    let shutdown = edge.shutdown.clone();
    let events = Events::told(!started.once, async move |mut way| {
        let reason = send(&mut started, &identity, &ids, &mut way, &shutdown, limits).await;
        metrics::counter!(LIVE_ENDINGS, "transport" => TRANSPORT, "reason" => reason).increment(1);
    });
    response(events, &trace_id)
}

/// The response that carries events as they come.
pub fn response(events: Events, trace_id: &str) -> Response {
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, HeaderValue); 4] = [
        (
            header::CONTENT_TYPE,
            fixed("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, fixed("no-store")),
        (HeaderName::from_static("x-accel-buffering"), fixed("no")), // nginx would wait for more
        (
            TRACE_ID,
            HeaderValue::from_str(trace_id).unwrap_or(fixed("")),
        ),
    ];
    (headers, Extension(events)).into_response()
}

/// What a stream needs of the limits.
#[derive(Debug, Clone, Copy)]
struct Limits {
    write_timeout: Duration,
    handover: Duration,
}

impl Limits {
    const fn of(settings: &SocketSettings) -> Self {
        Self {
            write_timeout: settings.write_timeout,
            handover: settings.handover,
        }
    }
}

/// Sends an operation's answers until it, the client or the program ends. Returns which. What it is lent it need not hold: a
/// future holds its arguments twice.
async fn send(
    started: &mut Started,
    identity: &Identity,
    ids: &EventIds,
    way: &mut Way,
    shutdown: &Shutdown,
    limits: Limits,
) -> &'static str {
    let Started { once, steps } = started;
    let once = *once;
    let mut turn = pin!(shutdown.turn(limits.handover));
    // No fresh token can come this way. A client that comes back shows one. What is asked once is answered all the same.
    let mut ends_at = (!once).then(|| Instant::now() + identity.left());
    // One for all that has its time: ten thousand wait here.
    let mut timer = pin!(sleep(limits.write_timeout));
    // So that the client knows at once that it was heard.
    let mut event = if once { COMMENT } else { COME_BACK }.to_owned();
    let mut over = None;
    loop {
        timer.as_mut().reset(Instant::now() + limits.write_timeout);
        tokio::select! {
            biased; // what is said in time counts, however late that is noticed
            told = way.tell(event) => if told.is_err() {
                return "left";
            },
            () = &mut timer => return "slow",
        }
        if let Some(reason) = over {
            let _ = timeout(limits.write_timeout, way.end()).await;
            return reason;
        }
        let quiet = Instant::now() + KEEP_ALIVE;
        timer
            .as_mut()
            .reset(ends_at.map_or(quiet, |at| at.min(quiet)));
        event = tokio::select! {
            () = way.closed() => return "left",
            () = &mut turn, if !once => {
                over = Some("stopping");
                COME_BACK.to_owned()
            }
            step = steps.next() => match step {
                Some(Step::Next(result)) => next(&result, ids.take()),
                Some(Step::Error(errors)) => {
                    ends_at = None; // it is the last step, and may be that the token has run out
                    failed(&errors)
                }
                None => {
                    over = Some("completed");
                    COMPLETE.to_owned()
                }
            },
            () = &mut timer => if ends_at.is_some_and(|at| at <= Instant::now()) {
                over = Some("expired");
                match expired(&trace::new_trace()) {
                    Step::Error(errors) => failed(&errors) + COMPLETE,
                    Step::Next(_) => COMPLETE.to_owned(),
                }
            } else {
                COMMENT.to_owned()
            },
        };
    }
}

fn failed(errors: &str) -> String {
    next(&format!(r#"{{"errors":{errors}}}"#), None)
}

fn next(result: &str, id: Option<String>) -> String {
    match id {
        Some(id) => format!("event: next\nid: {id}\ndata: {result}\n\n"),
        None => format!("event: next\ndata: {result}\n\n"),
    }
}

/// Browsers send none when they had none; an empty one is none.
fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(LAST_EVENT_ID)?;
    let id = String::from_utf8_lossy(id.as_bytes()); // what is no text is no cursor, and refused as one
    (!id.is_empty()).then(|| id.into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream::{self, BoxStream};
    use shop_core::runtime::Settings;
    use tokio::sync::mpsc::{self, Sender};

    use super::*;

    fn limits() -> Limits {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        Limits::of(&settings.edge.socket)
    }

    fn somebody() -> Identity {
        Identity::from(crate::identity::tests::a_caller())
    }

    async fn send_steps(
        steps: BoxStream<'static, Step>,
        events: Sender<String>,
        shutdown: &Shutdown,
    ) -> &'static str {
        let mut started = Started { once: false, steps };
        let (ids, mut way) = (EventIds::default(), Way::Body(events));
        send(
            &mut started,
            &somebody(),
            &ids,
            &mut way,
            shutdown,
            limits(),
        )
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up_and_nothing_is_made_ahead() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let steps = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Step::Next("{}".into())
        });
        let (events, _unread) = mpsc::channel(1);
        let begun = Instant::now();
        let reason = send_steps(steps.boxed(), events, &Shutdown::new()).await;
        let patience = limits().write_timeout;
        assert_eq!((reason, begun.elapsed()), ("slow", patience));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_has_comments_and_ends_when_its_client_leaves() {
        let (events, mut read) = mpsc::channel(1);
        let begun = Instant::now();
        let sending = tokio::spawn(async move {
            send_steps(stream::pending().boxed(), events, &Shutdown::new()).await
        });
        for (number, expected) in (0..).zip([COME_BACK, COMMENT, COMMENT]) {
            assert_eq!(read.recv().await.as_deref(), Some(expected));
            assert_eq!(begun.elapsed(), number * KEEP_ALIVE);
        }
        drop(read);
        assert_eq!(sending.await.expect("no panic"), "left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token_and_says_so_after_what_keeps_it_alive() {
        let mut caller = crate::identity::tests::a_caller();
        let now = shop_core::runtime::clock::now().millis();
        caller.until = shop_core::domain::Timestamp::from_millis(now + 20_000);
        let (events, mut read) = mpsc::channel(1);
        let begun = Instant::now();
        let sending = tokio::spawn(async move {
            let steps = stream::pending().boxed();
            let mut started = Started { once: false, steps };
            let (ids, mut way) = (EventIds::default(), Way::Body(events));
            let (identity, shutdown) = (Identity::from(caller), Shutdown::new());
            let limits = limits();
            send(&mut started, &identity, &ids, &mut way, &shutdown, limits).await
        });
        for (after, expected) in [(0, COME_BACK), (12, COMMENT)] {
            assert_eq!(read.recv().await.as_deref(), Some(expected));
            assert_eq!(begun.elapsed().as_secs(), after);
        }
        let last = read.recv().await.expect("why it ends");
        assert!(last.contains("UNAUTHENTICATED"), "{last}");
        assert!(last.ends_with(COMPLETE), "{last}");
        // After the comment, and before the next one: what the wall's clock takes meanwhile is missing.
        assert!((13..=20).contains(&begun.elapsed().as_secs()));
        assert_eq!(read.recv().await, None);
        assert_eq!(sending.await.expect("no panic"), "expired");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_a_stream_goes_on_until_its_turn_and_then_asks_to_come_back() {
        let shutdown = Shutdown::new();
        let endings = (0..100).map(|_| async {
            let steps = stream::unfold((), async |()| {
                sleep(Duration::from_millis(100)).await;
                Some((Step::Next("{}".into()), ()))
            });
            let (events, mut read) = mpsc::channel::<String>(1);
            let reading = async {
                let (mut last, mut told) = (None, 0_u32);
                while let Some(event) = read.recv().await {
                    told += u32::from(event.starts_with("event: next"));
                    last = Some(event);
                }
                (last, told)
            };
            let sending = async {
                let reason = send_steps(steps.boxed(), events, &shutdown).await;
                (reason, Instant::now())
            };
            tokio::join!(sending, reading)
        });
        shutdown.request();
        let begun = Instant::now();
        let endings = futures::future::join_all(endings).await;
        let mut seconds = std::collections::BTreeSet::new();
        for ((reason, at), (last, told)) in endings {
            let after = at - begun;
            assert_eq!((reason, last.as_deref()), ("stopping", Some(COME_BACK)));
            assert!(after <= limits().handover + Duration::from_millis(1));
            let due = after.as_millis() / 100;
            assert!(u128::from(told) + 1 >= due, "{told} of {due} told");
            seconds.insert(after.as_secs());
        }
        assert!(seconds.len() >= 3, "one after the other: {seconds:?}");
    }
}

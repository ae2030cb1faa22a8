//! `/graphql` with `Accept: text/event-stream`: one operation whose answers are server-sent events, by the "distinct
//! connections mode" of `graphql-sse`. `curl -N` is client enough. By GET too, since a browser's `EventSource` knows nothing
//! else: then no mutation, and not for pages of other origins.
//!
//! An event of a stream that can be gone on with has the item's cursor as its id. A client that lost its connection gives the
//! last one back in `Last-Event-ID`, a browser by itself, and the stream goes on after it.
//!
//! Nothing is made ahead of the client's reading; one that does not read is given up after the same time as on a socket, and after a
//! moment once it is the stream's turn to go.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
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
use tokio::time::{Instant, Sleep, sleep};

use super::Edge;
use super::carry::{Events, Way};
use super::operations::{Started, Step, expired};
use super::post::TRACE_ID;
use super::refusal::crowded;
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
/// How long the client of a socket or stream may take over a goodbye: to read it, and to answer it, once the program stops. With what
/// comes before it, `LIVE_HANDOVER` and what is under way, it is within the default of `SHUTDOWN_GRACE`.
pub const GOODBYE: Duration = Duration::from_secs(2);
/// What a client that comes back had last.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Runs one operation. One that goes on takes a place, as a socket does.
pub fn respond(
    edge: &Edge,
    identity: &Identity,
    headers: &HeaderMap,
    request: Request,
    trace: &TraceParent,
) -> Response {
    let ids = EventIds::after(last_event_id(headers));
    let request = request.data(ids.clone());
    // It is paid for, so that nobody is refused for nothing all the time.
    let mut started = edge.operations.start(request, identity, trace.clone());
    let place = if started.once {
        None
    } else {
        let Some(place) = edge.sockets.take(identity.caller().user) else {
            return crowded(trace);
        };
        Some(place)
    };
    let identity = identity.clone();
    let limits = Limits::of(&edge.socket);
    let shutdown = edge.shutdown.clone();
    let events = Events::told(!started.once, async move |mut way| {
        let reason = send(&mut started, &identity, &ids, &mut way, &shutdown, limits).await;
        drop(place);
        metrics::counter!(LIVE_ENDINGS, "transport" => TRANSPORT, "reason" => reason).increment(1);
    });
    response(events, trace.trace_id())
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
    // Once it is the stream's turn to go: until when its client may take what it is told.
    let mut leave_by: Option<Instant> = None;
    let most = limits.write_timeout;
    loop {
        if once && over.is_none() && shutdown.is_requested() {
            leave_by = Some(Instant::now() + GOODBYE); // anew, since the answer is waited for
        }
        let told = {
            let telling = pin!(way.tell(event));
            in_time(telling, turn.as_mut(), timer.as_mut(), &mut leave_by, most).await
        };
        match told {
            Some(Ok(())) => {}
            Some(Err(_)) => return "left",
            None if leave_by.is_some() => return "stopping",
            None => return "slow",
        }
        if let Some(reason) = over {
            let ending = pin!(way.end());
            in_time(ending, turn.as_mut(), timer.as_mut(), &mut leave_by, most).await;
            return reason;
        }
        // Its turn came while it was told something.
        if !once && leave_by.is_some() {
            (over, event) = (Some("stopping"), COME_BACK.to_owned());
            continue;
        }
        let quiet = Instant::now() + KEEP_ALIVE;
        timer
            .as_mut()
            .reset(ends_at.map_or(quiet, |at| at.min(quiet)));
        event = tokio::select! {
            () = way.closed() => return "left",
            () = &mut turn, if !once => {
                leave_by = Some(Instant::now() + GOODBYE);
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

/// Waits for a client to take something, for this long at most, and for a moment once it is the stream's turn to go; `None` if it does not.
/// What it is lent its future holds once.
fn in_time<T>(
    mut takes: Pin<&mut impl Future<Output = T>>,
    mut turn: Pin<&mut impl Future<Output = ()>>,
    mut timer: Pin<&mut Sleep>,
    leave_by: &mut Option<Instant>,
    most: Duration,
) -> impl Future<Output = Option<T>> {
    let due = Instant::now() + most;
    timer.as_mut().reset(leave_by.map_or(due, |by| by.min(due)));
    poll_fn(move |cx| {
        // First: what is taken in time counts, however late that is noticed.
        if let Poll::Ready(taken) = takes.as_mut().poll(cx) {
            return Poll::Ready(Some(taken));
        }
        if leave_by.is_none() && turn.as_mut().poll(cx).is_ready() {
            let by = Instant::now() + GOODBYE;
            *leave_by = Some(by);
            if by < timer.deadline() {
                timer.as_mut().reset(by);
            }
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
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
        send_all(Started { once: false, steps }, events, shutdown).await
    }

    async fn send_all(
        mut started: Started,
        events: Sender<String>,
        shutdown: &Shutdown,
    ) -> &'static str {
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

    /// A second after the stream began, its program is asked to stop. The reason for the end, and how long after that it came.
    async fn stopped_after_a_second(
        started: Started,
        events: Sender<String>,
    ) -> (&'static str, Duration) {
        let (shutdown, second) = (Shutdown::new(), Duration::from_secs(1));
        let begun = Instant::now();
        let stopping = async {
            sleep(second).await;
            shutdown.request();
        };
        let (reason, ()) = tokio::join!(send_all(started, events, &shutdown), stopping);
        (reason, begun.elapsed().saturating_sub(second))
    }

    fn once_after(wait: Duration) -> Started {
        let answer = async move {
            sleep(wait).await;
            Step::Next("{}".into())
        };
        let (once, steps) = (true, stream::once(answer).boxed());
        Started { once, steps }
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_who_does_not_read_is_waited_for_a_moment_after_its_turn() {
        let most = limits().handover + GOODBYE + Duration::from_millis(5);
        for number in 0..40 {
            // In the middle of an event, or quiet until its turn.
            let steps = match number % 2 {
                0 => stream::repeat_with(|| Step::Next("{}".into())).boxed(),
                _ => stream::pending().boxed(),
            };
            let (events, _unread) = mpsc::channel(1);
            let started = Started { once: false, steps };
            let (reason, after) = stopped_after_a_second(started, events).await;
            assert_eq!(reason, "stopping");
            assert!((GOODBYE..=most).contains(&after), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_one_answer_still_comes_and_waits_for_its_client_a_moment() {
        let wait = Duration::from_secs(5);
        let (events, _unread) = mpsc::channel(1);
        let (reason, after) = stopped_after_a_second(once_after(wait), events).await;
        assert_eq!(
            (reason, after.as_secs()),
            ("stopping", 6),
            "4 for it to come"
        );

        let (events, mut read) = mpsc::channel(1);
        let sending = stopped_after_a_second(once_after(wait), events);
        let reading = async {
            let mut last = None;
            while let Some(event) = read.recv().await {
                last = Some(event);
            }
            last
        };
        let ((reason, after), last) = tokio::join!(sending, reading);
        assert_eq!((reason, after.as_secs()), ("completed", 4));
        assert_eq!(last.as_deref(), Some(COMPLETE));
    }
}

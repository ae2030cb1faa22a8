//! `POST /graphql` with `Accept: text/event-stream`: one operation whose answers are server-sent events, by the "distinct
//! connections mode" of `graphql-sse`. `curl -N` is client enough.
//!
//! Nothing is made ahead of the client's reading; one that does not read is given up after the same time as on a socket.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use async_graphql::Request;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, StreamExt as _};
use shop_core::events::TraceParent;
use shop_core::runtime::Shutdown;
use shop_core::runtime::metrics::LIVE_ENDINGS;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{sleep, timeout};

use super::Edge;
use super::operations::{Started, Step};
use super::post::TRACE_ID;

/// The media type of such an answer.
pub const EVENT_STREAM: &str = "text/event-stream";
const TRANSPORT: &str = "graphql-sse";
/// How often a comment says that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
const COMMENT: &str = ":\n\n";
/// The last event. Browsers pass over one without data.
const COMPLETE: &str = "event: complete\ndata:\n\n";
/// What a client is told instead when the program stops: come back after so many milliseconds.
const COME_BACK: &str = "retry: 1000\n\n";
/// Events that wait for the connection.
const UNSENT: usize = 1;

/// Runs one operation.
pub fn respond(edge: &Edge, request: Request, trace: TraceParent) -> Response {
    let trace_id = HeaderValue::from_str(trace.trace_id());
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, HeaderValue); 4] = [
        (
            header::CONTENT_TYPE,
            fixed("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, fixed("no-store")),
        (HeaderName::from_static("x-accel-buffering"), fixed("no")), // nginx would wait for more
        (TRACE_ID, trace_id.unwrap_or(fixed(""))),
    ];
    let started = edge.operations.start(request, trace);
    let (events, unsent) = mpsc::channel(UNSENT);
    let patience = edge.settings.socket.write_timeout;
    let shutdown = edge.shutdown.clone();
    edge.engine.tasks().spawn(async move {
        let reason = send(started, &events, &shutdown, patience).await;
        metrics::counter!(LIVE_ENDINGS, "transport" => TRANSPORT, "reason" => reason).increment(1);
    });
    let body = stream::unfold(unsent, async |mut unsent| {
        let event: String = unsent.recv().await?;
        Some((Ok::<_, Infallible>(event), unsent))
    });
    (headers, Body::from_stream(body)).into_response()
}

/// Sends an operation's answers until it, the client or the program ends. Returns which.
async fn send(
    started: Started,
    events: &Sender<String>,
    shutdown: &Shutdown,
    patience: Duration,
) -> &'static str {
    let Started { once, mut steps } = started;
    let mut stopped = pin!(shutdown.requested());
    let mut event = COMMENT.to_owned(); // so that the client knows at once that it was heard
    let mut over = None;
    loop {
        match timeout(patience, events.send(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return "left",
            Err(_) => return "slow",
        }
        if let Some(reason) = over {
            return reason;
        }
        event = tokio::select! {
            () = events.closed() => return "left",
            () = &mut stopped, if !once => {
                over = Some("stopping");
                COME_BACK.to_owned()
            }
            step = steps.next() => match step {
                Some(Step::Next(result)) => next(&result),
                Some(Step::Error(errors)) => next(&format!(r#"{{"errors":{errors}}}"#)),
                None => {
                    over = Some("completed");
                    COMPLETE.to_owned()
                }
            },
            () = sleep(KEEP_ALIVE) => COMMENT.to_owned(),
        };
    }
}

fn next(result: &str) -> String {
    format!("event: next\ndata: {result}\n\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up_and_nothing_is_made_ahead() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let steps = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Step::Next("{}".to_owned())
        });
        let started = Started {
            once: false,
            steps: steps.boxed(),
        };
        let (events, _unread) = mpsc::channel(UNSENT);
        let begun = Instant::now();
        let reason = send(started, &events, &Shutdown::new(), PATIENCE).await;
        assert_eq!((reason, begun.elapsed()), ("slow", PATIENCE));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_has_comments_and_ends_when_its_client_leaves() {
        let started = Started {
            once: false,
            steps: stream::pending().boxed(),
        };
        let (events, mut read) = mpsc::channel(UNSENT);
        let begun = Instant::now();
        let sending =
            tokio::spawn(async move { send(started, &events, &Shutdown::new(), PATIENCE).await });
        for number in 0..3 {
            assert_eq!(read.recv().await.as_deref(), Some(COMMENT));
            assert_eq!(begun.elapsed(), number * KEEP_ALIVE);
        }
        drop(read);
        assert_eq!(sending.await.expect("no panic"), "left");
    }
}

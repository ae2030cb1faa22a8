//! Operations that are answered piece by piece, whatever transport carries the pieces.
//!
//! Bounds how many there are in this process and how large an answer may be, and turns answers into JSON once. A transport
//! only frames it: see `socket` and `events`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_graphql::{Request, ServerError};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use serde::Serialize;
use shop_core::events::TraceParent;
use shop_core::runtime::settings::EdgeSettings;
use shop_core::runtime::trace;

use super::execute::{Engine, coded};
use super::places::{Place, Places};
use super::subscribed::Told;
use crate::graphql::error::{ApiError, code, dress, server_error};
use crate::identity::{Denied, Identity};

/// Begins operations. Clones share the bounds.
#[derive(Clone)]
pub struct Operations {
    engine: Engine,
    answer_bytes: usize,
    places: Places,
}

/// An operation that has begun. It ends when it is dropped.
pub struct Started {
    /// Whether it has one answer only: a query or mutation, whose effect may be under way.
    pub once: bool,
    /// Its answers.
    pub steps: BoxStream<'static, Step>,
}

/// A piece of an operation's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An execution result, in JSON.
    Next(Arc<str>),
    /// A list of errors, in JSON: the operation could not begin or go on, and this is the last of it.
    Error(String),
}

impl Operations {
    /// Begins operations on an engine.
    pub fn new(engine: Engine, settings: &EdgeSettings) -> Self {
        Self {
            engine,
            answer_bytes: settings.answer_bytes,
            places: Places::new(settings.subscriptions),
        }
    }

    /// Begins one.
    pub fn start(&self, request: Request, identity: &Identity, trace: TraceParent) -> Started {
        let Some(place) = self.places.take() else {
            return Started::refused(refusal(server_error(ApiError::Crowded), &trace));
        };
        let operation = self.engine.start(request, identity, trace.clone());
        let steps = Steps {
            answers: operation.answers,
            // What is under way for somebody is told even if that takes longer than the token lasts.
            identity: (!operation.once).then(|| identity.clone()),
            most: self.answer_bytes,
            trace,
            is_over: false,
            _place: place,
        };
        Started {
            once: operation.once,
            steps: steps.boxed(),
        }
    }
}

/// The steps of an operation: its answers, and what becomes of a panic.
struct Steps {
    answers: BoxStream<'static, Told>,
    identity: Option<Identity>,
    most: usize,
    trace: TraceParent,
    is_over: bool,
    _place: Place,
}

impl Stream for Steps {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let answers = AssertUnwindSafe(|| self.answers.poll_next_unpin(cx));
        let step = match catch_unwind(answers) {
            Ok(answer) => {
                let told = ready!(answer);
                let is_late = self.identity.as_ref().is_some_and(Identity::is_over);
                match told {
                    Some(_) if is_late => Some(expired(&self.trace)),
                    told => told.map(|told| step(told, self.most, &self.trace)),
                }
            }
            Err(_panic) => {
                let panic = anyhow::anyhow!("an operation panicked");
                Some(refusal(
                    server_error(ApiError::internal(panic)),
                    &self.trace,
                ))
            }
        };
        self.is_over = !matches!(step, Some(Step::Next(_)));
        Poll::Ready(step)
    }
}

impl Started {
    /// An operation that is refused.
    pub fn refused(step: Step) -> Self {
        Self {
            once: true,
            steps: stream::iter([step]).boxed(),
        }
    }
}

/// The only step of an operation that does not begin.
pub fn refusal(mut error: ServerError, trace: &TraceParent) -> Step {
    dress(&mut error, trace);
    Step::Error(json(&[error]))
}

/// The same for who asked for more than a connection may have.
pub fn too_many() -> Step {
    let error = server_error(ApiError::TooManySubscriptions);
    refusal(error, &trace::new_trace())
}

/// The last step of an operation whose caller's token has run out.
pub fn expired(trace: &TraceParent) -> Step {
    let error = server_error(ApiError::Unauthenticated(Denied::Expired));
    refusal(error, trace)
}

/// The same for who asks while the program stops.
pub fn stopping() -> Step {
    let stopping = anyhow::anyhow!("the program is stopping");
    let error = server_error(ApiError::unavailable(stopping));
    refusal(error, &trace::new_trace())
}

fn step(told: Told, most: usize, trace: &TraceParent) -> Step {
    let (answer, place) = match told {
        Told::Known(text) => return Step::Next(text),
        Told::Made(answer, place) => (answer, place),
    };
    if !answer.ran {
        return Step::Error(json(&answer.response.errors));
    }
    let text: Arc<str> = json(&answer.response).into();
    if text.len() <= most {
        if let Some(place) = place.filter(|_| answer.response.is_ok()) {
            place.leave(&text);
        }
        return Step::Next(text);
    }
    let problem = format!(
        "the answer has {} bytes, {most} are sent at most; ask for less at a time",
        text.len()
    );
    let error = coded(code::RESPONSE_TOO_LARGE, ServerError::new(problem, None));
    refusal(error, trace)
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!("an answer is no JSON: {error}");
        "[]".to_owned()
    })
}

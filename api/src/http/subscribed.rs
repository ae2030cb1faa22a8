//! A subscription from its first answer to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, Value, Variables};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use shop_core::events::TraceParent;

use super::asked::Asked;
use super::execute::{Answer, Engine, OUTCOMES, dress_all, failed, record};
use crate::graphql::error::ApiError;
use crate::graphql::rules::Forbidden;
use crate::graphql::subscription::{Intake, Offer, Source};
use crate::identity::{Identity, Role};
use crate::live::{Published, Question};

/// An answer on its way to a client.
#[derive(Debug)]
pub enum Told {
    /// It was made for this one; the place is where others look for it.
    Made(Box<Answer>, Option<Place>),
    /// It was made for another one, in JSON.
    Known(Arc<str>),
}

/// Where an answer is shared: with the state that it is about.
#[derive(Debug)]
pub struct Place {
    state: Arc<Published>,
    question: Question,
}

impl Place {
    fn answer(&self) -> Option<Arc<str>> {
        self.state.answers.get(self.question)
    }

    /// Leaves the answer there.
    pub fn leave(&self, answer: &Arc<str>) {
        self.state.answers.put(self.question, answer);
    }
}

/// What is needed to go on without the library's own stream.
pub(super) struct Later {
    /// What is asked.
    pub asked: Arc<Asked>,
    /// With which variables, in JSON: a map of them takes ten times as much.
    pub variables: Box<str>,
    /// The same, to compare.
    pub question: Question,
    /// Where the resolver leaves its source; until that is taken.
    pub intake: Option<Intake>,
}

/// A subscription that was begun: its answers.
pub(super) struct Subscribed {
    engine: Engine,
    identity: Identity,
    /// What its caller could do when that was last looked at.
    role: Role,
    trace: TraceParent,
    /// Not for one of several root fields: their answers come as they like, and none can tell whose is whose.
    later: Option<Later>,
    /// What the library answers: to the subscription as it begins, later to one item.
    responses: Option<BoxStream<'static, Response>>,
    /// What is answered later.
    source: Option<Source>,
    /// The item that the library has still to answer.
    item: Option<Item>,
    /// Set until there was an answer.
    begun: Option<Instant>,
    is_over: bool,
}

/// Where the answer of an item is shared, if it is.
struct Item(Option<Place>);

impl Subscribed {
    /// One whose first answers come like this.
    pub fn new(
        engine: Engine,
        identity: Identity,
        trace: TraceParent,
        responses: BoxStream<'static, Response>,
        later: Option<Later>,
    ) -> Self {
        Self {
            engine,
            role: identity.caller().role,
            identity,
            trace,
            later,
            responses: Some(responses),
            source: None,
            item: None,
            begun: Some(Instant::now()),
            is_over: false,
        }
    }

    /// The next answer of the library; `None` if it has no more for now.
    fn poll_made(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let Some(responses) = &mut self.responses else {
            return Poll::Ready(None);
        };
        let response = ready!(responses.poll_next_unpin(cx));
        if response.is_none() {
            self.responses = None; // and with it the document
        }
        let item = self.item.take();
        let response = match (response, &item) {
            (Some(response), _) => response,
            (None, None) => return Poll::Ready(None),
            (None, Some(_)) => failed(ApiError::internal(anyhow::anyhow!("an item was lost"))),
        };
        let place = item.and_then(|item| item.0);
        let answer = Box::new(self.answer(response));
        Poll::Ready(Some(Told::Made(answer, place)))
    }

    /// What the library was left with when it had no more; `None` if it was everything.
    fn poll_offer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Offer>> {
        if self.source.is_none() {
            let intake = self.later.as_mut().and_then(|later| later.intake.take());
            self.source = intake.and_then(|intake| intake.take_source());
        }
        match &mut self.source {
            Some(source) => source.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }

    /// The answer to an item, if it was made for another one; else the library is asked for it.
    fn known(&mut self, mut offer: Offer) -> Option<Told> {
        let later = self.later.as_ref()?;
        let place = offer.published.take().map(|state| Place {
            state,
            question: later.question.asked_by(self.role),
        });
        if let Some(answer) = place.as_ref().and_then(Place::answer) {
            self.note_begun(false);
            return Some(Told::Known(answer));
        }
        self.responses = Some(make(
            &self.engine,
            &self.identity,
            &self.trace,
            later,
            offer,
        ));
        self.item = Some(Item(place));
        None
    }

    /// Looks again when a fresh token says another role. What was begun with a greater one ends.
    fn check_role(&mut self) -> Option<Forbidden> {
        let role = self.identity.caller().role;
        let before = std::mem::replace(&mut self.role, role);
        if role != before
            && let Some(item) = &mut self.item
        {
            item.0 = None; // it is being made for one role, and shared with none
        }
        (role < before).then(|| Forbidden {
            field: "a subscription that was begun with a greater role".to_owned(),
            needed: before,
            role,
        })
    }

    fn answer(&mut self, mut response: Response) -> Answer {
        dress_all(&mut response, &self.trace);
        let failed = response.is_err() && response.data == Value::Null;
        let is_first = self.note_begun(response.is_err());
        Answer {
            ran: !is_first || !failed,
            response,
        }
    }

    /// Notes an answer, and says whether it is the first.
    fn note_begun(&mut self, is_err: bool) -> bool {
        let Some(begun) = self.begun.take() else {
            return false;
        };
        let outcome = OUTCOMES[usize::from(is_err)];
        record(Some(OperationType::Subscription), outcome, begun);
        true
    }
}

impl Stream for Subscribed {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(forbidden) = self.check_role() {
            self.is_over = true;
            let answer = self.answer(failed(ApiError::Forbidden(forbidden)));
            return Poll::Ready(Some(Told::Made(Box::new(answer), None)));
        }
        loop {
            if let Some(told) = ready!(self.poll_made(cx)) {
                return Poll::Ready(Some(told));
            }
            let Some(offer) = ready!(self.poll_offer(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(told) = self.known(offer) {
                return Poll::Ready(Some(told));
            }
        }
    }
}

/// Executes one item.
fn make(
    engine: &Engine,
    identity: &Identity,
    trace: &TraceParent,
    later: &Later,
    offer: Offer,
) -> BoxStream<'static, Response> {
    match serde_json::from_str::<Variables>(&later.variables) {
        Ok(variables) => {
            let request = later.asked.request(variables).data(Intake::of(offer));
            engine.stream(request, identity, trace).boxed()
        }
        Err(error) => stream::iter([failed(ApiError::internal(error))]).boxed(),
    }
}

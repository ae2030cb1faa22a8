//! A subscription from its first answer to its end.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, Value, Variables};
use futures::stream::{self, BoxStream, StreamExt as _};
use shop_core::events::TraceParent;

use super::asked::Asked;
use super::execute::{Answer, Engine, OUTCOMES, dress_all, failed, record};
use crate::graphql::error::ApiError;
use crate::graphql::subscription::{Intake, Offer, Source};
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
    /// Where the resolver leaves its source.
    pub intake: Intake,
}

/// A subscription that was begun.
pub(super) struct Subscribed {
    engine: Engine,
    trace: TraceParent,
    /// Not for one of several root fields: their answers come as they like, and none can tell whose is whose.
    later: Option<Later>,
    phase: Phase,
    /// Set until there was an answer.
    begun: Option<Instant>,
}

enum Phase {
    /// As the library has it.
    Beginning(BoxStream<'static, Response>),
    /// Item by item.
    Going(Source),
}

impl Subscribed {
    /// One whose first answers come like this.
    pub fn new(
        engine: Engine,
        trace: TraceParent,
        responses: BoxStream<'static, Response>,
        later: Option<Later>,
    ) -> Self {
        Self {
            engine,
            trace,
            later,
            phase: Phase::Beginning(responses),
            begun: Some(Instant::now()),
        }
    }

    /// Its answers.
    pub fn answers(self) -> BoxStream<'static, Told> {
        // In a box of its own, since what a stream waits with would hold it twice.
        let next = async |mut subscribed: Box<Self>| {
            let told = subscribed.next().await?;
            Some((told, subscribed))
        };
        stream::unfold(Box::new(self), next).boxed()
    }

    async fn next(&mut self) -> Option<Told> {
        if let Phase::Beginning(responses) = &mut self.phase {
            if let Some(response) = responses.next().await {
                return Some(Told::Made(Box::new(self.answer(response)), None));
            }
            let source = self.later.as_ref()?.intake.take_source()?;
            self.phase = Phase::Going(source);
        }
        let (Phase::Going(source), Some(later)) = (&mut self.phase, &self.later) else {
            return None;
        };
        let mut offer = source.next().await?;
        let place = offer.published.take().map(|state| Place {
            state,
            question: later.question,
        });
        if let Some(answer) = place.as_ref().and_then(Place::answer) {
            self.note_begun(false);
            return Some(Told::Known(answer));
        }
        // On the heap, and only as long as it takes.
        let response = Box::pin(make(&self.engine, &self.trace, later, offer)).await;
        Some(Told::Made(Box::new(self.answer(response)), place))
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

/// Executes one item.
async fn make(engine: &Engine, trace: &TraceParent, later: &Later, offer: Offer) -> Response {
    let variables = match serde_json::from_str::<Variables>(&later.variables) {
        Ok(variables) => variables,
        Err(error) => return failed(ApiError::internal(error)),
    };
    let request = later.asked.request(variables).data(Intake::of(offer));
    let mut responses = engine.stream(request, trace).boxed();
    let response = responses.next().await;
    response.unwrap_or_else(|| failed(ApiError::internal(anyhow::anyhow!("an item was lost"))))
}

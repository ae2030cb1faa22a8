//! Executed once, told to many: who asks the same about the same state gets the answer that was made for the first.
//!
//! The library checks a subscription and calls its resolver. From then on whoever carries the answers has the source itself
//! ([`Intake`]), and has the library execute only what was not answered yet: one that waits holds neither a document nor a plan.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::parser::types::{ExecutableDocument, Field, Selection};
use async_graphql::{Context, Request, Result, Value, Variables};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::graphql::error::ApiError;
use crate::live::{Published, Question};

/// The argument that says where a stream begins, and nothing about what its items show.
const CURSOR: &str = "after";

/// What a request with one root field asks about each item: a question tells nothing of which field an answer is.
pub fn question(request: &mut Request) -> Question {
    let cursor = cursor_variable(request);
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(request.query.as_bytes());
    add(request.operation_name.as_deref().unwrap_or("").as_bytes());
    for (name, value) in without(&request.variables, cursor.as_deref()) {
        add(name.as_bytes());
        add(value.to_string().as_bytes());
    }
    Question(hash.finalize().into())
}

/// An item of a resolver's source.
pub(super) struct Told<T> {
    /// The item, or why there is none.
    pub item: std::result::Result<T, ApiError>,
    /// The state that it shows, where others are told it too.
    pub published: Option<Arc<Published>>,
}

/// The same where its type does not matter.
pub struct Offer {
    item: Held,
    /// The state that it shows, where others are told it too.
    pub published: Option<Arc<Published>>,
}

type Held = std::result::Result<Box<dyn Any + Send>, ApiError>;

/// What a subscription is told.
pub type Source = BoxStream<'static, Offer>;

/// Where a resolver leaves its source, or finds the one item that it is to show. In the data of a request with one root field;
/// clones share it.
#[derive(Clone, Default)]
pub struct Intake(Arc<Mutex<Content>>);

#[derive(Default)]
enum Content {
    #[default]
    Nothing,
    Source(Source),
    Item(Held),
}

impl Intake {
    /// For a request that executes one item.
    pub fn of(offer: Offer) -> Self {
        Self(Arc::new(Mutex::new(Content::Item(offer.item))))
    }

    /// The source of a subscription that has begun; `None` if its resolver keeps it.
    pub fn take_source(&self) -> Option<Source> {
        match std::mem::take(&mut *self.lock()) {
            Content::Source(source) => Some(source),
            Content::Nothing | Content::Item(_) => None,
        }
    }

    fn take_item(&self) -> Option<Held> {
        let mut content = self.lock();
        if !matches!(*content, Content::Item(_)) {
            return None;
        }
        match std::mem::take(&mut *content) {
            Content::Item(item) => Some(item),
            Content::Nothing | Content::Source(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intake")
    }
}

/// The stream of a resolver: all items of its source, or none if it can be left with an [`Intake`], or the one that is found
/// there.
pub(super) fn shared<T, S>(
    ctx: &Context<'_>,
    source: impl FnOnce() -> Result<S>,
) -> Result<BoxStream<'static, Result<T>>>
where
    T: Any + Send,
    S: Stream<Item = Told<T>> + Send + 'static,
{
    let Some(intake) = ctx.data_opt::<Intake>() else {
        return Ok(source()?.map(|told| Ok(told.item?)).boxed());
    };
    if let Some(item) = intake.take_item() {
        let item = item.and_then(|item| {
            let item = item.downcast::<T>().map(|item| *item);
            item.map_err(|_| ApiError::internal(anyhow::anyhow!("an item of another stream")))
        });
        return Ok(stream::iter([item.map_err(Into::into)]).boxed());
    }
    *intake.lock() = Content::Source(source()?.map(Offer::from).boxed());
    Ok(stream::empty().boxed())
}

impl<T: Any + Send> From<Told<T>> for Offer {
    fn from(told: Told<T>) -> Self {
        let item = told
            .item
            .map(|item| -> Box<dyn Any + Send> { Box::new(item) });
        Self {
            item,
            published: told.published,
        }
    }
}

fn without<'a>(
    variables: &'a Variables,
    cursor: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let all = variables.iter().map(|(name, value)| (name.as_str(), value));
    all.filter(move |(name, _)| Some(*name) != cursor)
}

/// The variable that gives the cursor, if it stands nowhere else: in its definition and as the argument.
fn cursor_variable(request: &mut Request) -> Option<String> {
    let document = request.parsed_query().ok()?;
    let given = root_fields(document).find_map(|field| field.get_argument(CURSOR))?;
    let name = given.node.to_string().strip_prefix('$')?.to_owned();
    let uses = request.query.match_indices('$').filter(|(at, _)| {
        let rest = &request.query[at + 1..];
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        rest[..length] == name
    });
    (uses.count() == 2).then_some(name)
}

fn root_fields(document: &ExecutableDocument) -> impl Iterator<Item = &Field> {
    let operations = document.operations.iter().map(|(_, operation)| operation);
    let items = operations.flat_map(|operation| &operation.node.selection_set.node.items);
    items.filter_map(|item| match &item.node {
        Selection::Field(field) => Some(&field.node),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, Object, Schema, Subscription, value};

    use super::*;
    use crate::live::hub::tests::an_order_at;

    const DOCUMENT: &str =
        "subscription($id: ID!, $from: String) { changes(id: $id, after: $from) { version } }";

    fn question(document: &str, variables: Value) -> Question {
        super::question(&mut Request::new(document).variables(Variables::from_value(variables)))
    }

    #[test]
    fn the_same_is_asked_wherever_the_stream_begins() {
        let asked = question(DOCUMENT, value!({ "id": "1", "from": "a" }));
        assert_eq!(asked, question(DOCUMENT, value!({ "id": "1" })));
        let elsewhere = value!({ "from": "b", "id": "1" });
        assert_eq!(asked, question(DOCUMENT, elsewhere));
    }

    #[test]
    fn whatever_can_change_an_answer_is_another_question() {
        let asked = question(DOCUMENT, value!({ "id": "1" }));
        assert_ne!(asked, question(DOCUMENT, value!({ "id": "2" })));
        let other = DOCUMENT.replace("version", "status");
        assert_ne!(asked, question(&other, value!({ "id": "1" })));
        // Here the cursor's variable decides what is shown.
        let skips = DOCUMENT.replace("{ version }", "{ version @skip(if: $from) }");
        assert_ne!(
            question(&skips, value!({ "id": "1", "from": true })),
            question(&skips, value!({ "id": "1", "from": false }))
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            question(DOCUMENT, value!({ "a": "b", "c": "d" })),
            question(DOCUMENT, value!({ "a": "bc", "": "d" }))
        );
    }

    struct Query;

    #[Object]
    impl Query {
        async fn nothing(&self) -> bool {
            true
        }
    }

    struct Numbers;

    #[Subscription]
    impl Numbers {
        #[expect(
            clippy::unused_async,
            reason = "async-graphql takes async functions only"
        )]
        async fn numbers(&self, ctx: &Context<'_>) -> Result<BoxStream<'static, Result<u8>>> {
            shared(ctx, || {
                let published = Arc::new(Published::from(&Arc::new(an_order_at(2))));
                let told = move |number: u8| Told {
                    item: (number < 3)
                        .then_some(number)
                        .ok_or(ApiError::DeadlineExceeded),
                    published: (number == 1).then(|| Arc::clone(&published)),
                };
                Ok(stream::iter(0..4).map(told))
            })
        }
    }

    fn schema() -> Schema<Query, EmptyMutation, Numbers> {
        Schema::new(Query, EmptyMutation, Numbers)
    }

    fn request() -> Request {
        Request::new("subscription { n: numbers }")
    }

    #[tokio::test]
    async fn the_source_is_left_and_each_item_can_be_executed_alone() {
        let intake = Intake::default();
        let stream = schema().execute_stream(request().data(intake.clone()));
        assert_eq!(stream.count().await, 0);

        let source = intake.take_source().expect("the source");
        let offers: Vec<_> = source.collect().await;
        let published: Vec<_> = offers.iter().map(|it| it.published.is_some()).collect();
        assert_eq!(published, [false, true, false, false]);
        let mut answers = Vec::new();
        for offer in offers {
            let stream = schema().execute_stream(request().data(Intake::of(offer)));
            answers.extend(stream.collect::<Vec<_>>().await);
        }
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0].data, value!({ "n": 0 }));
        assert_eq!(answers[2].data, value!({ "n": 2 }));
        assert!(answers[3].is_err(), "its own error: {:?}", answers[3]);
    }

    #[tokio::test]
    async fn without_an_intake_everything_is_told() {
        let answers: Vec<_> = schema().execute_stream(request()).collect().await;
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[2].data, value!({ "n": 2 }));
        assert!(answers[3].is_err());
    }
}

//! Executed once, told to many: who asks the same about the same state gets the answer that was made for the first.
//!
//! A resolver offers each item with the state that it shows. If the state has the answer already, nothing is executed for the item
//! and the transport tells that answer; if not, the transport leaves the answer that it made with the state.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::parser::types::{ExecutableDocument, Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, Request, ServerResult, Value, Variables,
};
use sha2::{Digest as _, Sha256};

use crate::live::{Published, Question};

/// The argument that says where a stream begins, and nothing about what its items show.
const CURSOR: &str = "after";

/// One subscription's side of the sharing. In the data of its request; clones share it.
#[derive(Debug, Clone)]
pub struct Sharing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    question: Question,
    share: Mutex<Share>,
}

/// What there is for the item that is told now.
#[derive(Debug, Clone, Default)]
pub enum Share {
    /// It shows nothing that others see.
    #[default]
    Own,
    /// This answer, in JSON.
    Answer(Arc<str>),
    /// This state waits for the answer.
    Wanted(Arc<Published>),
}

impl Sharing {
    /// That of a subscription with one root field: a question tells nothing of which field an answer is.
    pub fn of(request: &mut Request) -> Self {
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
        let question = Question(hash.finalize().into());
        Self(Arc::new(Inner {
            question,
            share: Mutex::default(),
        }))
    }

    /// Offers the state that the next item shows. Whether its answer is there.
    pub(super) fn offer(&self, state: Option<Arc<Published>>) -> bool {
        let share = match state {
            None => Share::Own,
            Some(state) => match state.answers.get(self.0.question) {
                Some(answer) => Share::Answer(answer),
                None => Share::Wanted(state),
            },
        };
        let is_answered = matches!(share, Share::Answer(_));
        *self.lock() = share;
        is_answered
    }

    /// What there is for the item that was just made.
    pub fn take(&self) -> Share {
        std::mem::take(&mut self.lock())
    }

    /// Leaves an answer with its state.
    pub fn leave(&self, state: &Published, answer: &Arc<str>) {
        state.answers.put(self.0.question, answer);
    }

    fn lock(&self) -> MutexGuard<'_, Share> {
        self.0.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item that is executed only if its answer is not there yet.
pub(super) struct Shared<T> {
    pub item: T,
    pub is_answered: bool,
}

impl<T: OutputType> OutputType for Shared<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        if self.is_answered {
            return Ok(Value::Null); // the transport tells the answer instead
        }
        self.item.resolve(ctx, field).await
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
    use std::sync::atomic::{AtomicU8, Ordering};

    use async_graphql::{Context, EmptyMutation, ID, Object, Schema, Subscription, value};
    use futures::{Stream, StreamExt as _, stream};

    use super::*;
    use crate::live::hub::tests::an_order_at;

    const DOCUMENT: &str =
        "subscription($id: ID!, $from: String) { changes(id: $id, after: $from) { version } }";

    fn question(document: &str, variables: Value) -> Question {
        let mut request = Request::new(document).variables(Variables::from_value(variables));
        Sharing::of(&mut request).0.question
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

    /// Says how many were executed before it.
    struct Counted(Arc<AtomicU8>);

    #[Object]
    impl Counted {
        async fn version(&self) -> u8 {
            self.0.fetch_add(1, Ordering::SeqCst)
        }
    }

    struct Query;

    #[Object]
    impl Query {
        async fn nothing(&self) -> bool {
            true
        }
    }

    struct Changes {
        state: Arc<Published>,
        executed: Arc<AtomicU8>,
    }

    #[Subscription]
    impl Changes {
        async fn changes(
            &self,
            ctx: &Context<'_>,
            id: ID,
            after: Option<String>,
        ) -> impl Stream<Item = Shared<Counted>> {
            let _ = (id, after);
            let state = Arc::clone(&self.state);
            let is_answered = ctx.data_unchecked::<Sharing>().offer(Some(state));
            let item = Counted(Arc::clone(&self.executed));
            stream::iter([Shared { item, is_answered }])
        }
    }

    #[tokio::test]
    async fn who_asks_the_same_about_a_state_is_told_the_answer_of_the_first() {
        let changes = Changes {
            state: Arc::new(Published::from(&Arc::new(an_order_at(2)))),
            executed: Arc::default(),
        };
        let schema = Schema::new(Query, EmptyMutation, changes);
        let tell = async |document: &str, from: &str| {
            let variables = Variables::from_value(value!({ "id": "1", "from": from }));
            let mut request = Request::new(document).variables(variables);
            let sharing = Sharing::of(&mut request);
            let mut stream = schema.execute_stream(request.data(sharing.clone()));
            let response = stream.next().await.expect("an answer");
            assert!(response.is_ok(), "{response:?}");
            match sharing.take() {
                Share::Own => panic!("nothing was offered"),
                Share::Answer(text) => text,
                Share::Wanted(state) => {
                    let text = serde_json::to_string(&response).expect("JSON").into();
                    sharing.leave(&state, &text);
                    text
                }
            }
        };
        let first = tell(DOCUMENT, "a").await;
        assert_eq!(&*first, r#"{"data":{"changes":{"version":0}}}"#);
        assert_eq!(tell(DOCUMENT, "a").await, first);
        assert_eq!(tell(DOCUMENT, "b").await, first);
        let other = DOCUMENT.replace("{ version }", "{ v: version }");
        let second = tell(&other, "a").await;
        assert_eq!(&*second, r#"{"data":{"changes":{"v":1}}}"#);
        assert_eq!(tell(&other, "b").await, second);
    }
}

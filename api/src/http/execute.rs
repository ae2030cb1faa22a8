//! Runs a request to its end, whatever becomes of the client.
//!
//! Each operation runs in a task of its own that nobody drops: a query that is dropped in the middle leaves its answer on
//! its MySQL connection (ADR 0006). A client waits for it at most as long as the deadline; the task itself ends because
//! the stores bound every operation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Positioned, Request, Response, ServerError, Value, value};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use shop_core::events::TraceParent;
use shop_core::runtime::metrics::{GRAPHQL_REQUEST_DURATION, HTTP_REFUSED};
use shop_core::runtime::settings::HttpSettings;
use shop_core::views::Views;
use tokio_util::task::TaskTracker;

use super::asked::Documents;
use super::lanes::{Lanes, Slot};
use super::limits::{self, Excess};
use super::rate::Caller;
use super::subscribed::{Later, Subscribed, Told};
use crate::graphql::cost::cost;
use crate::graphql::described;
use crate::graphql::error::{ApiError, code, dress, server_error};
use crate::graphql::loaders::Loaders;
use crate::graphql::rules;
use crate::graphql::subscription::{Intake, question};
use crate::graphql::variables::misplaced;
use crate::graphql::{Limits, ShopSchema};
use crate::identity::{Denied, Identity, Role};

/// Runs requests on the schema. Clones share it, and each subscriber has some.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    schema: ShopSchema,
    views: Views,
    deadline: Duration,
    tasks: TaskTracker,
    documents: Documents,
    lanes: Lanes,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// Data and errors.
    pub response: Response,
    /// Whether the document was run, rather than refused before.
    pub ran: bool,
}

/// An operation whose answers come one after the other. It ends when it is dropped.
pub struct Operation {
    /// Whether it has one answer only.
    pub once: bool,
    /// Its answers. Of a subscription the first has not run if it could not begin.
    pub answers: BoxStream<'static, Told>,
}

impl Operation {
    fn refused(error: ServerError, trace: &TraceParent) -> Self {
        Self {
            once: true,
            answers: stream::iter([Told::Made(Box::new(refused(error, trace)), None)]).boxed(),
        }
    }
}

/// As many as there can be.
const UNBOUNDED: usize = tokio::sync::Semaphore::MAX_PERMITS;
/// What becomes of a request, for the metrics.
pub(super) const OUTCOMES: [&str; 4] = ["ok", "error", "refused", "deadline"];

impl Engine {
    /// An engine; a client waits for an answer at most `deadline`.
    pub fn new(schema: ShopSchema, views: Views, deadline: Duration) -> Self {
        Self(Arc::new(Inner {
            schema,
            views,
            deadline,
            tasks: TaskTracker::new(),
            documents: Documents::default(),
            lanes: Lanes::new(UNBOUNDED, UNBOUNDED),
        }))
    }

    /// The same with so many at once as the settings say.
    #[must_use]
    pub fn at_once(self, settings: &HttpSettings) -> Self {
        Self(Arc::new(Inner {
            lanes: Lanes::new(settings.requests_at_once, settings.mutations_at_once),
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// Where requests and sockets run.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Waits for every request and socket to end. Nothing new may be begun.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Whether a query or mutation that comes now would find no place, whichever it is.
    pub fn turns_away(&self) -> bool {
        self.0.lanes.turn_away()
    }

    /// Runs a query or mutation.
    pub async fn run(&self, request: Request, identity: &Identity, trace: &TraceParent) -> Answer {
        match limits::check(&request) {
            Err(excess) => refused(excess.error(), trace),
            Ok(Some(OperationType::Subscription)) => {
                let problem =
                    "subscriptions run over WebSocket, or with \"accept: text/event-stream\"";
                refused(
                    coded(code::BAD_REQUEST, ServerError::new(problem, None)),
                    trace,
                )
            }
            Ok(kind) => self.run_kind(kind, request, identity, trace).await,
        }
    }

    /// Begins whatever comes over a connection that stays: a subscription answers again and again, anything else once.
    pub fn start(
        &self,
        mut request: Request,
        identity: &Identity,
        trace: TraceParent,
    ) -> Operation {
        let (engine, identity) = (self.clone(), identity.clone());
        match limits::check(&request) {
            Err(excess) => Operation::refused(excess.error(), &trace),
            Ok(Some(OperationType::Subscription)) => {
                let begun = inspect(&mut request, identity.caller().role)
                    .and_then(|_| engine.subscribe(request, identity, &trace));
                match begun {
                    Ok(subscribed) => Operation {
                        once: false,
                        answers: subscribed.boxed(),
                    },
                    Err(error) => Operation::refused(error, &trace),
                }
            }
            Ok(kind) => Operation {
                once: true,
                answers: stream::once(async move {
                    let answer = engine.run_kind(kind, request, &identity, &trace).await;
                    Told::Made(Box::new(answer), None)
                })
                .boxed(),
            },
        }
    }

    fn subscribe(
        &self,
        mut request: Request,
        identity: Identity,
        trace: &TraceParent,
    ) -> Result<Subscribed, ServerError> {
        let has_plain_root = has_plain_root(&mut request);
        if has_plain_root == Some(false) {
            return Err(Excess::Subscriptions.error());
        }
        let later = if has_plain_root.is_some() {
            let variables = serde_json::to_string(&request.variables);
            let intake = Intake::default();
            let later = Later {
                asked: self.0.documents.keep(&mut request)?,
                variables: variables
                    .map_err(|error| server_error(ApiError::internal(error)))?
                    .into(),
                question: question(&mut request),
                intake: Some(intake.clone()),
            };
            request = request.data(intake);
            Some(later)
        } else {
            None
        };
        let responses = self.stream(request, &identity, trace).boxed();
        Ok(Subscribed::new(
            self.clone(),
            identity,
            trace.clone(),
            responses,
            later,
        ))
    }

    /// The answers to a subscription, as the library has them.
    pub(super) fn stream(
        &self,
        request: Request,
        identity: &Identity,
        trace: &TraceParent,
    ) -> impl Stream<Item = Response> + Send + use<> {
        self.0
            .schema
            .execute_stream(self.equip(request, identity, trace))
    }

    /// Runs what is within the limits, once there is a place in its lane.
    async fn run_kind(
        &self,
        kind: Option<OperationType>,
        mut request: Request,
        identity: &Identity,
        trace: &TraceParent,
    ) -> Answer {
        let begun = Instant::now();
        let Some(slot) = self.0.lanes.enter(kind).await else {
            return overloaded(trace);
        };
        // A body may have taken its time.
        if identity.is_over() {
            return refused(
                server_error(ApiError::Unauthenticated(Denied::Expired)),
                trace,
            );
        }
        let cost = match inspect(&mut request, identity.caller().role) {
            Ok(cost) => cost,
            Err(error) => return refused(error, trace),
        };
        let mut response = self
            .execute(self.equip(request, identity, trace), slot)
            .await;
        let ran = has_run(&response);
        let outcome = match &response.errors[..] {
            [] => OUTCOMES[0],
            [error] if matches!(error.source(), Some(ApiError::DeadlineExceeded)) => OUTCOMES[3],
            _ if ran => OUTCOMES[1],
            _ => OUTCOMES[2],
        };
        record(kind, outcome, begun);
        dress_all(&mut response, trace);
        let told = value!({ "requested": cost, "limit": (Limits::COMPLEXITY) });
        response.extensions.insert("cost".to_owned(), told);
        Answer { response, ran }
    }

    /// Executes in a task of its own, which has its slot as long as it runs; a field that waits leaves the lane meanwhile.
    async fn execute(&self, request: Request, slot: Slot) -> Response {
        let schema = self.0.schema.clone();
        let request = request.data(slot.clone());
        let task = self.0.tasks.spawn(async move {
            let _slot = slot;
            schema.execute(request).await
        });
        match tokio::time::timeout(self.0.deadline, task).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => failed(ApiError::internal(panic)),
            Err(_) => failed(ApiError::DeadlineExceeded),
        }
    }

    fn equip(&self, request: Request, identity: &Identity, trace: &TraceParent) -> Request {
        let scope = identity.caller().scope(Role::Staff);
        request
            .data(Loaders::new(&self.0.views, scope))
            .data(identity.clone())
            .data(trace.clone())
    }
}

/// Parses a request that is within the limits, looks at whether its caller may ask it and at what the library's validation overlooks,
/// and has the caller pay. Returns what it costs.
fn inspect(request: &mut Request, role: Role) -> Result<usize, ServerError> {
    let name = request
        .operation_name
        .take()
        .filter(|name| !name.is_empty());
    request.operation_name.clone_from(&name);
    let variables = std::mem::take(&mut request.variables);
    let document = request
        .parsed_query()
        .map_err(|error| coded(code::PARSE_FAILED, error))?;
    let operation = operation(document, name.as_deref());
    if let Some(operation) = operation {
        rules::check(document, &operation.node, role)
            .map_err(|forbidden| server_error(ApiError::Forbidden(forbidden)))?;
    }
    let problem = operation.and_then(|operation| misplaced(&operation.node, &variables));
    if let Some(problem) = problem {
        return Err(coded(
            code::VALIDATION_FAILED,
            ServerError::new(problem, None),
        ));
    }
    if described::nests_too_deep(document) {
        return Err(Excess::Described.error());
    }
    let is_subscription =
        operation.is_some_and(|operation| operation.node.ty == OperationType::Subscription);
    let cost = cost(document, &variables);
    request.variables = variables;
    if cost > Limits::COMPLEXITY {
        return Err(Excess::Cost(cost).error());
    }
    if is_subscription && cost > Limits::ITEM_COMPLEXITY {
        return Err(Excess::ItemCost(cost).error());
    }
    if let Some(caller) = limits::held::<Caller>(request) {
        caller.charge(cost).map_err(server_error)?;
    }
    Ok(cost)
}

/// Whether a request's one field of the root stands there itself, and in no fragment, whose fields the library would not answer;
/// `None` if there is no such operation.
fn has_plain_root(request: &mut Request) -> Option<bool> {
    let only = |operation: &OperationDefinition| {
        let items = &operation.selection_set.node.items;
        matches!(&items[..], [one] if matches!(one.node, Selection::Field(_)))
    };
    chosen(request).map(|operation| only(&operation.node))
}

/// Whether a request is a mutation.
pub(super) fn is_mutation(request: &Request) -> bool {
    limits::check(request) == Ok(Some(OperationType::Mutation))
}

/// The operation that is asked for, if the document can be read.
fn chosen(request: &mut Request) -> Option<&Positioned<OperationDefinition>> {
    limits::check(request).ok()?;
    let name = request.operation_name.clone();
    let name = name.as_deref().filter(|name| !name.is_empty());
    operation(request.parsed_query().ok()?, name)
}

/// The operation of a name, or the only one.
fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a Positioned<OperationDefinition>> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(known, _)| known.is_some_and(|known| known == name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    found.map(|(_, operation)| operation)
}

/// An error under a word of its own.
pub(super) fn coded(word: &'static str, mut error: ServerError) -> ServerError {
    error.extensions.get_or_insert_default().set("code", word);
    error
}

/// The answer to who finds no place.
pub(super) fn overloaded(trace: &TraceParent) -> Answer {
    metrics::counter!(HTTP_REFUSED, "reason" => "overload").increment(1);
    refused(server_error(ApiError::Overloaded), trace)
}

fn refused(mut error: ServerError, trace: &TraceParent) -> Answer {
    dress(&mut error, trace);
    record(None, OUTCOMES[2], Instant::now());
    Answer {
        response: Response::from_errors(vec![error]),
        ran: false,
    }
}

pub(super) fn failed(error: ApiError) -> Response {
    Response::from_errors(vec![server_error(error)])
}

/// Whether the document was run: errors found before have no path and come alone.
fn has_run(response: &Response) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response
            .errors
            .iter()
            .any(|error| !error.path.is_empty() || error.source.is_some())
}

pub(super) fn dress_all(response: &mut Response, trace: &TraceParent) {
    for error in &mut response.errors {
        dress(error, trace);
    }
}

pub(super) fn record(kind: Option<OperationType>, outcome: &'static str, begun: Instant) {
    let kind = match kind {
        Some(OperationType::Query) => "query",
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
        None => "none",
    };
    metrics::histogram!(GRAPHQL_REQUEST_DURATION, "type" => kind, "outcome" => outcome)
        .record(begun.elapsed());
}

//! What goes wrong, as clients see it: expected refusals are typed payload data, the rest are GraphQL errors, masked.
//!
//! To add a refusal: 1. the variant in `shop_core::domain::refusal`, 2. a type with its own fields in `refusals`, 3. a
//! document in `tests/it/documents` that asks for it.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{ScalarType as _, ServerError, Value};
use shop_core::domain::{OrderId, Timestamp, Version};
use shop_core::events::TraceParent;

use super::rules::Forbidden;
use super::scalar::{DateTime, rfc3339};
use crate::identity::Denied;
use crate::live::cursor::BadCursor;

/// After how long a full server may be tried again.
pub const OVERLOADED_FOR: Duration = Duration::from_secs(1);
/// The same where there are too many sockets, streams or subscriptions, which last longer than requests.
pub const CROWDED_FOR: Duration = Duration::from_secs(5);

/// Why an operation could not be answered. `Display` is what the client reads, and holds nothing of the inside.
#[derive(Debug, Clone)]
pub enum ApiError {
    /// An argument of a query can not be read.
    BadUserInput {
        /// The argument, with the field below it if it is an object: `filter.customerId`.
        argument: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The cursor that a subscription should go on from can not be used.
    InvalidCursor(BadCursor),
    /// What a subscription should follow does not exist.
    NotFound(String),
    /// The view does not have the version yet that a query wants; it will.
    NotYet {
        /// Of what.
        id: String,
        /// The version that is wanted.
        wanted: Version,
        /// The version that is there, if any.
        there: Option<Version>,
    },
    /// An order is asked for as of a time when it was not there yet.
    BeforeCreation {
        /// Which order.
        id: OrderId,
        /// When it was placed.
        created_at: Timestamp,
    },
    /// An order is asked for as of a time that has not come yet.
    InTheFuture {
        /// That time.
        at: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// Nobody is known to ask, or not any more.
    Unauthenticated(Denied),
    /// Whoever asks may not do this.
    Forbidden(Forbidden),
    /// One socket holds as many subscriptions as it may.
    TooManySubscriptions,
    /// The program holds as many sockets and event streams, or operations over them, as it may, or as the user may have.
    Crowded,
    /// The request took longer than its deadline; a mutation may still take effect.
    DeadlineExceeded,
    /// A client has used up what it may cost.
    RateLimited {
        /// Until there is as much again.
        wait: Duration,
    },
    /// As many operations run as may.
    Overloaded,
    /// A server did not say whether a change was made.
    OutcomeUnknown(Arc<anyhow::Error>),
    /// A server that we need is away.
    Unavailable(Arc<anyhow::Error>),
    /// A mistake of ours.
    Internal(Arc<anyhow::Error>),
}

impl ApiError {
    /// A query's argument that can not be read.
    pub fn bad_input(argument: &'static str, problem: impl Into<String>) -> Self {
        Self::BadUserInput {
            argument,
            problem: problem.into(),
        }
    }

    /// A subscription's cursor that can not be used.
    pub const fn bad_cursor(problem: BadCursor) -> Self {
        Self::InvalidCursor(problem)
    }

    /// A change of which nobody said whether it was made.
    pub fn outcome_unknown(cause: impl Into<anyhow::Error>) -> Self {
        Self::OutcomeUnknown(Arc::new(cause.into()))
    }

    /// A server that is away.
    pub fn unavailable(cause: impl Into<anyhow::Error>) -> Self {
        Self::Unavailable(Arc::new(cause.into()))
    }

    /// A mistake of ours.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(Arc::new(cause.into()))
    }

    /// The word in `extensions.code`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUserInput { .. } => code::BAD_USER_INPUT,
            Self::InvalidCursor(_) => code::INVALID_CURSOR,
            Self::NotFound(_) => code::NOT_FOUND,
            Self::NotYet { .. } => code::NOT_YET,
            Self::BeforeCreation { .. } => code::BEFORE_CREATION,
            Self::InTheFuture { .. } => code::IN_THE_FUTURE,
            Self::Unauthenticated(_) => code::UNAUTHENTICATED,
            Self::Forbidden(_) => code::FORBIDDEN,
            Self::TooManySubscriptions | Self::Crowded => code::TOO_MANY_SUBSCRIPTIONS,
            Self::DeadlineExceeded => code::DEADLINE_EXCEEDED,
            Self::RateLimited { .. } => code::RATE_LIMITED,
            Self::Overloaded => code::OVERLOADED,
            Self::OutcomeUnknown(_) => code::OUTCOME_UNKNOWN,
            Self::Unavailable(_) => code::UNAVAILABLE,
            Self::Internal(_) => code::INTERNAL,
        }
    }

    /// Whether the same request can succeed later, unchanged.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NotYet { .. }
                | Self::DeadlineExceeded
                | Self::RateLimited { .. }
                | Self::Overloaded
                | Self::Crowded
                | Self::Unavailable(_)
                | Self::Unauthenticated(Denied::Unavailable)
        )
    }

    /// What else is in `extensions`, for programs.
    fn details(&self) -> Vec<(&'static str, Value)> {
        let time = |at: &Timestamp| DateTime(*at).to_value();
        match self {
            Self::NotYet { wanted, there, .. } => {
                vec![
                    ("minVersion", (*wanted).into()),
                    ("currentVersion", there.map_or(Value::Null, Into::into)),
                ]
            }
            Self::BadUserInput { argument, .. } => vec![("argument", (*argument).into())],
            Self::InvalidCursor(_) => vec![("argument", "after".into())],
            Self::BeforeCreation { created_at, .. } => vec![("createdAt", time(created_at))],
            Self::InTheFuture { now, .. } => vec![("now", time(now))],
            Self::RateLimited { wait } => vec![("retryAfterMs", millis(*wait).into())],
            Self::Overloaded => vec![("retryAfterMs", millis(OVERLOADED_FOR).into())],
            Self::Crowded => vec![("retryAfterMs", millis(CROWDED_FOR).into())],
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadUserInput { argument, problem } => write!(f, "argument {argument}: {problem}"),
            Self::InvalidCursor(problem) => write!(f, "argument after: {problem}"),
            Self::NotFound(what) => write!(f, "{what} does not exist"),
            Self::NotYet {
                id,
                wanted,
                there: Some(there),
            } => write!(
                f,
                "{id} can be read in version {there} only, not in version {wanted} yet; try again in a moment"
            ),
            Self::NotYet { id, .. } => write!(
                f,
                "{id} can not be read yet, if there is such a thing; try again in a moment"
            ),
            Self::BeforeCreation { id, created_at } => {
                write!(f, "argument at: {id} was placed later, at {}", rfc3339(*created_at))
            }
            Self::InTheFuture { at, now } => write!(
                f,
                "argument at: {} is in the future, it is {}",
                rfc3339(*at),
                rfc3339(*now)
            ),
            Self::Unauthenticated(denied) => denied.fmt(f),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::TooManySubscriptions => f.write_str("this connection has too many subscriptions"),
            Self::Crowded => f.write_str("there are too many subscriptions; try again later"),
            Self::DeadlineExceeded => f.write_str(
                "the request took too long; a mutation may still take effect, so look before trying again",
            ),
            Self::RateLimited { wait } => write!(
                f,
                "you have asked for more than you may cost per minute; try again in {} ms",
                millis(*wait)
            ),
            Self::Overloaded => f.write_str(
                "the server has as much to do as it can; nothing was done, so try again in a second",
            ),
            Self::Unavailable(_) => f.write_str("a server is away; try again in a moment"),
            Self::OutcomeUnknown(_) => f.write_str(
                "a server did not say whether the change was made; look before trying again",
            ),
            Self::Internal(_) => f.write_str("something went wrong here; the trace id helps us to find it"),
        }
    }
}

/// What a field that may be null resolves to. An error in it is told and nulls this field alone; `Result<Option<_>>` would
/// null the parent as well.
pub type Nullable<T> = Option<Result<T, ApiError>>;

/// Renders what was found, if anything was.
pub fn nullable<T: From<F>, F>(found: Result<Option<F>, ApiError>) -> Nullable<T> {
    Some(found.transpose()?.map(T::from))
}

/// Whole milliseconds, and never too few.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The words in `extensions.code`.
pub mod code {
    /// The document is not GraphQL.
    pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
    /// The document does not fit the schema.
    pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
    /// The document asks for more than the limits allow.
    pub const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
    /// The document is longer than the limits allow.
    pub const DOCUMENT_TOO_LARGE: &str = "DOCUMENT_TOO_LARGE";
    /// The variables hold more than the limits allow.
    pub const VARIABLES_TOO_LARGE: &str = "VARIABLES_TOO_LARGE";
    /// The HTTP request's body is longer than the settings allow.
    pub const REQUEST_TOO_LARGE: &str = "REQUEST_TOO_LARGE";
    /// A client has used up what it may cost per minute.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// As many operations run as may.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// The HTTP request is not one GraphQL request in JSON.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// The answer is larger than what is sent over a socket or event stream.
    pub const RESPONSE_TOO_LARGE: &str = "RESPONSE_TOO_LARGE";
    /// An argument or variable can not be read.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    /// The cursor that a subscription should go on from can not be used: begin without one.
    pub const INVALID_CURSOR: &str = "INVALID_CURSOR";
    /// What a subscription should follow does not exist.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The view does not have the version yet that a query wants.
    pub const NOT_YET: &str = "NOT_YET";
    /// An order is asked for as of a time before it was placed.
    pub const BEFORE_CREATION: &str = "BEFORE_CREATION";
    /// An order is asked for as of a time that has not come yet.
    pub const IN_THE_FUTURE: &str = "IN_THE_FUTURE";
    /// There is no token, or none that is good: ask again with a fresh one.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// The token's role may not do this.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// One socket holds as many subscriptions as it may.
    pub const TOO_MANY_SUBSCRIPTIONS: &str = "TOO_MANY_SUBSCRIPTIONS";
    /// The request took longer than its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
    /// A server did not say whether a change was made.
    pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
    /// A server that we need is away.
    pub const UNAVAILABLE: &str = "UNAVAILABLE";
    /// A mistake of ours.
    pub const INTERNAL: &str = "INTERNAL";
}

/// How the library words what goes beyond the limits (`validation/mod.rs` and `schema.rs` of async-graphql 7.0.19).
const TOO_COMPLEX: [&str; 4] = [
    "Query is too complex",
    "Query is nested too deep",
    "The recursion depth of the query",
    "The number of directives on the field",
];

/// Gives an error its `extensions`, masks what is ours to know, and logs what somebody must look at.
///
/// Whatever reached the library by `?` carries its source: an [`ApiError`] says what the client may know, anything else
/// is a mistake and masked. Without a source the library itself speaks, about the client's document and variables.
pub fn dress(error: &mut ServerError, trace: &TraceParent) {
    let foreign = error.source.is_some() && error.source::<ApiError>().is_none();
    let told = if foreign {
        Some(ApiError::internal(anyhow::anyhow!("{}", error.message)))
    } else {
        error.source::<ApiError>().cloned()
    };
    let (word, retryable, details) = match told {
        Some(told) => {
            log(&told, trace);
            error.message = told.to_string();
            (told.code(), told.is_retryable(), told.details())
        }
        None => (library_code(error), false, Vec::new()),
    };
    let extensions = error.extensions.get_or_insert_default();
    for (name, value) in details {
        extensions.set(name, value);
    }
    if extensions.get("code").is_none() {
        extensions.set("code", word);
    }
    extensions.set("retryable", Value::Boolean(retryable));
    extensions.set("traceId", trace.trace_id());
}

/// A bare error, as the library would make it, for [`dress`].
pub fn server_error(error: ApiError) -> ServerError {
    ServerError {
        source: Some(Arc::new(error)),
        ..ServerError::new("", None)
    }
}

fn library_code(error: &ServerError) -> &'static str {
    if TOO_COMPLEX
        .iter()
        .any(|beginning| error.message.starts_with(beginning))
    {
        code::QUERY_TOO_COMPLEX
    } else if error.path.is_empty() {
        code::VALIDATION_FAILED
    } else {
        code::BAD_USER_INPUT // a variable's value, found out when its field was reached
    }
}

fn log(error: &ApiError, trace: &TraceParent) {
    let trace_id = trace.trace_id();
    match error {
        ApiError::Unavailable(cause) | ApiError::OutcomeUnknown(cause) => {
            tracing::warn!(trace_id, "a request was not served: {cause:#}");
        }
        ApiError::Internal(cause) => tracing::error!(trace_id, "a request failed: {cause:#}"),
        ApiError::DeadlineExceeded => tracing::warn!(trace_id, "a request passed its deadline"),
        ApiError::BadUserInput { .. }
        | ApiError::InvalidCursor(_)
        | ApiError::NotFound(_)
        | ApiError::NotYet { .. }
        | ApiError::BeforeCreation { .. }
        | ApiError::InTheFuture { .. }
        | ApiError::Unauthenticated(_)
        | ApiError::Forbidden(_)
        | ApiError::TooManySubscriptions
        | ApiError::RateLimited { .. }
        | ApiError::Overloaded
        | ApiError::Crowded => {}
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};

    use super::*;

    struct Query;

    #[expect(clippy::unused_async, reason = "the macro wants resolvers that are")]
    #[Object]
    impl Query {
        async fn leak(&self) -> async_graphql::Result<i32> {
            Err(std::io::Error::other("the password is 1234"))?
        }

        async fn away(&self) -> async_graphql::Result<i32> {
            Err(ApiError::unavailable(std::io::Error::other(
                "10.0.0.7 refused",
            )))?
        }

        async fn page(&self, first: i32) -> async_graphql::Result<i32> {
            Err(ApiError::bad_input(
                "first",
                format!("must be between 0 and 100, not {first}"),
            ))?
        }
    }

    async fn error_of(query: &str) -> (String, serde_json::Value) {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let mut error = schema.execute(query).await.errors.remove(0);
        let trace = TraceParent::new(7, 1);
        dress(&mut error, &trace);
        let extensions = serde_json::to_value(error.extensions).expect("extensions are JSON");
        assert_eq!(extensions["traceId"], trace.trace_id());
        (error.message, extensions)
    }

    #[tokio::test]
    async fn a_foreign_error_is_masked() {
        let (message, extensions) = error_of("{ leak }").await;
        assert!(!message.contains("1234"), "{message}");
        assert_eq!(extensions["code"], code::INTERNAL);
        assert_eq!(extensions["retryable"], false);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_retryable_and_not_named() {
        let (message, extensions) = error_of("{ away }").await;
        assert!(!message.contains("10.0.0.7"), "{message}");
        assert_eq!(extensions["code"], code::UNAVAILABLE);
        assert_eq!(extensions["retryable"], true);
    }

    #[tokio::test]
    async fn an_argument_that_can_not_be_read_is_named() {
        let (message, extensions) = error_of("{ page(first: 101) }").await;
        assert_eq!(
            message,
            "argument first: must be between 0 and 100, not 101"
        );
        assert_eq!(extensions["code"], code::BAD_USER_INPUT);
    }

    #[tokio::test]
    async fn what_the_library_says_about_a_document_is_passed_on() {
        let (message, extensions) = error_of("{ nothing }").await;
        assert!(message.contains("nothing"), "{message}");
        assert_eq!(extensions["code"], code::VALIDATION_FAILED);
    }
}

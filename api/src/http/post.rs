//! `POST /graphql`: one operation per request, in JSON; see `events` for answers that are streams.

use async_graphql::{Request, ServerError};
use async_graphql_axum::GraphQLResponse;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use shop_core::events::TraceParent;

use super::body::Body;
use super::events::{self, EVENT_STREAM};
use super::execute::{self, Answer, coded};
use super::rate::Caller;
use super::refusal::{self, NotRun};
use super::sent::Sent;
use super::{Edge, EdgeState, trace_of};
use crate::graphql::error::{code, dress};
use crate::identity::Identity;

const JSON: &str = "application/json";
/// The media type of the GraphQL-over-HTTP specification, for clients that ask for it.
const GRAPHQL_JSON: &str = "application/graphql-response+json";
/// Names the request in the logs.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Runs one operation.
pub async fn graphql(
    State(edge): EdgeState,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    body: Sent,
) -> Response {
    let trace = trace_of(&headers);
    let request = match read(&headers, body) {
        Ok(request) => request.data(caller),
        Err((status, problem)) => return reject(status, problem, &headers, &trace),
    };
    if accepts(&headers, EVENT_STREAM) {
        return events::respond(&edge, &identity, &headers, request, &trace);
    }
    answer(&edge, &identity, &headers, request, &trace).await
}

/// Runs one operation that has one answer. A document that is refused is a 400 under the specification's media type, which tells
/// answers of GraphQL from those of whatever lies between; `application/json` says nothing of the kind, and clients of it expect a 200.
pub async fn answer(
    edge: &Edge,
    identity: &Identity,
    headers: &HeaderMap,
    request: Request,
    trace: &TraceParent,
) -> Response {
    let answer = edge.engine.run(request, identity, trace).await;
    told(answer, headers, trace)
}

/// Answers who sends an operation while there is no place for any.
pub fn overloaded(headers: &HeaderMap) -> Response {
    let trace = trace_of(headers);
    told(execute::overloaded(&trace), headers, &trace)
}

fn told(answer: Answer, headers: &HeaderMap, trace: &TraceParent) -> Response {
    let media_type = media_type(headers);
    if let Some((status, wait)) = refusal::status_of(&answer.response.errors) {
        let mut refused = render(status, media_type, answer, trace);
        refusal::say_when(refused.headers_mut(), wait);
        return refused;
    }
    let status = if answer.ran || media_type == JSON {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    render(status, media_type, answer, trace)
}

/// Answers what is no request to run.
pub fn reject(
    status: StatusCode,
    problem: String,
    headers: &HeaderMap,
    trace: &TraceParent,
) -> Response {
    let word = match status {
        StatusCode::PAYLOAD_TOO_LARGE => code::REQUEST_TOO_LARGE,
        _ => code::BAD_REQUEST,
    };
    let mut error = coded(word, ServerError::new(problem, None));
    dress(&mut error, trace);
    let response = async_graphql::Response::from_errors(vec![error]);
    let ran = false;
    render(status, media_type(headers), Answer { response, ran }, trace)
}

/// The request of a body.
///
/// # Errors
/// The status to answer, and what is wrong.
pub fn read(headers: &HeaderMap, Sent(body): Sent) -> Result<Request, (StatusCode, String)> {
    // A foreign page may send other types than JSON without being asked first; `gate` looks at where it comes from as well.
    if !is_json(headers) {
        let problem = format!("the content type must be {JSON}");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
    }
    let body = body?;
    let bad = |problem: String| (StatusCode::BAD_REQUEST, problem);
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(bad(
            "a batch is not accepted: send one operation per request".to_owned(),
        ));
    }
    Body::read(&body)
        .map_err(|problem| bad(format!("the body is no GraphQL request in JSON: {problem}")))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON))
}

fn media_type(headers: &HeaderMap) -> &'static str {
    if accepts(headers, GRAPHQL_JSON) {
        GRAPHQL_JSON
    } else {
        JSON
    }
}

/// Whether a client says that it takes a media type.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| value.to_str().is_ok_and(|text| text.contains(media_type)))
}

fn render(
    status: StatusCode,
    media_type: &'static str,
    answer: Answer,
    trace: &TraceParent,
) -> Response {
    let mut rendered = if answer.ran {
        GraphQLResponse::from(answer.response).into_response()
    } else {
        let not_run = &answer.response;
        Json(NotRun::new(&not_run.errors, &not_run.extensions)).into_response()
    };
    *rendered.status_mut() = status;
    let headers = rendered.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(trace_id) = HeaderValue::from_str(trace.trace_id()) {
        headers.insert(TRACE_ID, trace_id);
    }
    rendered
}

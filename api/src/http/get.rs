//! `GET /graphql`: a query, an upgrade to a WebSocket, or, with `Accept: text/event-stream`, server-sent events for a browser's
//! `EventSource`. Never a mutation.
//!
//! The document is in `query`, and `operationName` and `variables` (in JSON) beside it, as GraphQL over HTTP has them.

use async_graphql::{Request, Variables};
use axum::Extension;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{Query, State, rejection::QueryRejection};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::body::beyond;
use super::events::{self, EVENT_STREAM};
use super::execute::is_mutation;
use super::limits::values;
use super::post::{accepts, answer, reject};
use super::rate::Caller;
use super::{EdgeState, admit, socket, trace_of};
use crate::identity::{Denied, Identity};

/// Where a browser says that a request of a page comes from, as seen from here.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const ALLOW: [(HeaderName, &str); 1] = [(header::ALLOW, "GET, POST")];
/// What a mutation may come by.
const ALLOW_MUTATION: [(HeaderName, &str); 1] = [(header::ALLOW, "POST")];

/// An operation in a URL.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
}

/// Upgrades, streams, answers, or says why not.
pub async fn graphql(
    State(edge): EdgeState,
    method: Method,
    identity: Option<Extension<Identity>>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return socket::upgrade(edge, identity.map(|it| it.0), &headers, caller, upgrade);
    }
    let Some(Extension(identity)) = identity else {
        return admit::refuse(Denied::Missing, &trace_of(&headers));
    };
    if method != Method::GET {
        let hint =
            "GET /graphql runs a query or begins a stream, POST /graphql runs any operation\n";
        return (StatusCode::METHOD_NOT_ALLOWED, ALLOW, hint).into_response();
    }
    let trace = trace_of(&headers);
    match read(&headers, parameters).map(|request| request.data(caller)) {
        Ok(request) if accepts(&headers, EVENT_STREAM) => {
            events::respond(&edge, &identity, &headers, request, &trace)
        }
        Ok(request) => answer(&edge, &identity, &headers, request, &trace).await,
        Err((status, problem)) if status == StatusCode::METHOD_NOT_ALLOWED => {
            let refusal = reject(status, problem, &headers, &trace);
            (ALLOW_MUTATION, refusal).into_response()
        }
        Err((status, problem)) => reject(status, problem, &headers, &trace),
    }
}

fn read(
    headers: &HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Request, (StatusCode, String)> {
    // A page can have a browser get anything from anywhere without saying in `Origin` who asks.
    if is_of_a_foreign_page(headers) {
        let problem = "pages of other origins may not call: see HTTP_ALLOWED_ORIGINS".to_owned();
        return Err((StatusCode::FORBIDDEN, problem));
    }
    let bad = |problem: String| (StatusCode::BAD_REQUEST, problem);
    let Query(parameters) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let variables = parameters.variables.filter(|text| !text.is_empty());
    if let Some(text) = &variables
        && let Err(excess) = values::check(text.as_bytes(), values::ALONE)
    {
        return Ok(beyond(excess));
    }
    let variables: Option<Variables> = variables
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| bad(format!("the variables are no object in JSON: {error}")))?
        .flatten();
    let mut request = Request::new(parameters.query).variables(variables.unwrap_or_default());
    request.operation_name = parameters.operation_name;
    if is_mutation(&request) {
        let problem = "a mutation is not run by GET: use POST".to_owned();
        return Err((StatusCode::METHOD_NOT_ALLOWED, problem));
    }
    Ok(request)
}

/// Whether a browser says so, and `gate` did not see its origin.
fn is_of_a_foreign_page(headers: &HeaderMap) -> bool {
    let own = ["same-origin", "none"];
    let site = headers.get(FETCH_SITE);
    site.is_some_and(|site| !own.iter().any(|word| site == word))
        && !headers.contains_key(header::ORIGIN)
}

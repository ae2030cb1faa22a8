//! Refusals that are about the server or the client, and not about what is asked: they have a status of their own, whatever the
//! media type, and say when to come back.

use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::{ServerError, Value};
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use shop_core::events::TraceParent;
use shop_core::runtime::metrics::HTTP_REFUSED;

use crate::graphql::error::{ApiError, CROWDED_FOR, OVERLOADED_FOR, dress, server_error};

/// The body of an answer to what was not run: errors and no data, not even null.
#[derive(Debug, Serialize)]
pub struct NotRun<'a> {
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a BTreeMap<String, Value>>,
}

impl<'a> NotRun<'a> {
    /// With what is said besides the errors, if anything is.
    pub fn new(errors: &'a [ServerError], extensions: &'a BTreeMap<String, Value>) -> Self {
        let extensions = Some(extensions).filter(|extensions| !extensions.is_empty());
        Self { errors, extensions }
    }
}

impl<'a> From<&'a ServerError> for NotRun<'a> {
    fn from(error: &'a ServerError) -> Self {
        Self {
            errors: std::slice::from_ref(error),
            extensions: None,
        }
    }
}

/// The status of such a refusal, and how long to wait.
pub fn status_of(errors: &[ServerError]) -> Option<(StatusCode, Duration)> {
    match errors.first()?.source::<ApiError>()? {
        ApiError::RateLimited { wait } => Some((StatusCode::TOO_MANY_REQUESTS, *wait)),
        ApiError::Overloaded => Some((StatusCode::SERVICE_UNAVAILABLE, OVERLOADED_FOR)),
        ApiError::Crowded => Some((StatusCode::SERVICE_UNAVAILABLE, CROWDED_FOR)),
        _ => None,
    }
}

/// Says how long to wait: in whole seconds, and never too few.
pub fn say_when(headers: &mut HeaderMap, wait: Duration) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

/// The answer to who finds no place for a socket or stream.
pub fn crowded(trace: &TraceParent) -> Response {
    metrics::counter!(HTTP_REFUSED, "reason" => "sockets").increment(1);
    answer(ApiError::Crowded, trace)
}

/// The answer to a request that is refused before it is looked at.
pub fn answer(error: ApiError, trace: &TraceParent) -> Response {
    let mut error = server_error(error);
    dress(&mut error, trace);
    let refused = status_of(std::slice::from_ref(&error));
    let (status, wait) = refused.unwrap_or((StatusCode::BAD_REQUEST, Duration::ZERO));
    let body = Json(NotRun::from(&error));
    let mut response = (status, body).into_response();
    say_when(response.headers_mut(), wait);
    response
}

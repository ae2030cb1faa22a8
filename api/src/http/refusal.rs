//! Refusals that are about the server or the client, and not about what is asked: they have a status of their own, whatever the
//! media type, and say when to come back.

use std::time::Duration;

use async_graphql::ServerError;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shop_core::events::TraceParent;

use crate::graphql::error::{ApiError, dress, server_error};

/// After how long a full server may be tried again.
const OVERLOADED_FOR: Duration = Duration::from_secs(1);

/// The status of such a refusal, and how long to wait.
pub fn status_of(errors: &[ServerError]) -> Option<(StatusCode, Duration)> {
    match errors.first()?.source::<ApiError>()? {
        ApiError::RateLimited { wait } => Some((StatusCode::TOO_MANY_REQUESTS, *wait)),
        ApiError::Overloaded => Some((StatusCode::SERVICE_UNAVAILABLE, OVERLOADED_FOR)),
        _ => None,
    }
}

/// Says how long to wait: in whole seconds, and never too few.
pub fn say_when(headers: &mut HeaderMap, wait: Duration) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

/// The answer to a request that is refused before it is looked at.
pub fn answer(error: ApiError, trace: &TraceParent) -> Response {
    let mut error = server_error(error);
    dress(&mut error, trace);
    let refused = status_of(std::slice::from_ref(&error));
    let (status, wait) = refused.unwrap_or((StatusCode::BAD_REQUEST, Duration::ZERO));
    let body = Json(serde_json::json!({ "errors": [error] }));
    let mut response = (status, body).into_response();
    say_when(response.headers_mut(), wait);
    response
}

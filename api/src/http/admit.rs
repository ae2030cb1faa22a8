//! Who a request comes from, by its `Authorization`. Nothing of a request without a good token is read but its headers.
//!
//! An upgrade to a WebSocket may come without: a browser can not send the header there, and says who it is in
//! `connection_init`.
//!
//! While there is no place for any query or mutation, who sends one is told so before anybody asks who it is: whoever floods the API costs it
//! no more than that.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shop_core::events::TraceParent;

use super::events::EVENT_STREAM;
use super::post;
use super::rate::Caller;
use super::refusal::NotRun;
use super::{Edge, EdgeState, PATH, trace_of};
use crate::graphql::error::{ApiError, dress, server_error};
use crate::identity::{Denied, Identity, in_header};

/// After how many seconds to try again while tokens can not be verified.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Lets a request pass with its [`Identity`] in its extensions, or answers why not.
pub async fn guard(State(edge): EdgeState, mut request: Request, next: Next) -> Response {
    if is_operation(&request) && edge.engine.turns_away() {
        return post::overloaded(request.headers());
    }
    match identify(&edge, request.headers()).await {
        Ok(identity) => {
            let user = identity.caller().user;
            let extensions = request.extensions_mut();
            if let Some(caller) = extensions.get_mut::<Caller>() {
                *caller = caller.as_user(user); // from here on it pays as a user too
            }
            extensions.insert(identity);
        }
        Err(Denied::Missing) if is_upgrade(&request) => {}
        Err(denied) => return refuse(denied, &trace_of(request.headers())),
    }
    next.run(request).await
}

async fn identify(edge: &Edge, headers: &HeaderMap) -> Result<Identity, Denied> {
    let caller = edge.verifier.verify(in_header(headers)?).await?;
    Ok(caller.into())
}

/// Whether it needs a place to run at once: where answers may be a stream it does not.
fn is_operation(request: &Request) -> bool {
    request.method() == Method::POST
        && request.uri().path() == PATH
        && !post::accepts(request.headers(), EVENT_STREAM)
}

/// Whether it is for the one place where sockets are.
fn is_upgrade(request: &Request) -> bool {
    let to = request.headers().get(header::UPGRADE);
    request.method() == Method::GET
        && request.uri().path() == PATH
        && to.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The answer to who is not let in (RFC 6750, section 3).
pub fn refuse(denied: Denied, trace: &TraceParent) -> Response {
    let mut error = server_error(ApiError::Unauthenticated(denied));
    dress(&mut error, trace);
    let body = Json(NotRun::from(&error));
    if denied == Denied::Unavailable {
        let retry = [(header::RETRY_AFTER, RETRY_AFTER)];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, body).into_response();
    }
    let challenge = match denied {
        Denied::Missing => "Bearer".to_owned(),
        denied => format!("Bearer error=\"invalid_token\", error_description=\"{denied}\""),
    };
    let headers = [
        (header::WWW_AUTHENTICATE, challenge),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (StatusCode::UNAUTHORIZED, headers, body).into_response()
}

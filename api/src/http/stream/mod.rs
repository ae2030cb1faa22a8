//! `/graphql/stream`: server-sent events of many operations over one connection, by the "single connection mode" of
//! `graphql-sse`, for clients whose browser opens six connections to a host at most.
//!
//! `PUT` reserves a stream and answers its token, `GET` opens it, `POST` begins an operation on it, `DELETE` ends one. The
//! token is in a header, or in the URL; it is good for whoever reserved the stream, and for nobody else. A fresh `Authorization` of
//! any of these requests is the stream's from then on. `streams` knows who has which; `session` serves one.

mod session;
mod streams;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use shop_core::runtime::Shutdown;
use shop_core::runtime::metrics::LIVE_ENDINGS;
use shop_core::runtime::settings::SocketSettings;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

pub use self::streams::Streams;

use self::session::{Command, DRAIN, Refused};
use super::body::OPERATION_ID;
use super::carry::{Events, Way};
use super::events::{GOODBYE, response};
use super::post::{self, reject};
use super::rate::Caller;
use super::refusal::crowded;
use super::sent::Sent;
use super::{EdgeState, trace_of};
use crate::identity::Identity;

/// Where the token is.
const TOKEN: HeaderName = HeaderName::from_static("x-graphql-event-stream-token");
/// Bytes of an operation's id, at most.
const ID_BYTES: usize = 256;
const TRANSPORT: &str = "graphql-sse-single";

/// What stands in the URL.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    token: Option<String>,
    #[serde(rename = "operationId")]
    operation_id: Option<String>,
}

type InUrl = Result<Query<Parameters>, QueryRejection>;

/// Reserves a stream, which is there as soon as this is answered, and answers its token.
pub async fn reserve(
    State(edge): EdgeState,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
) -> Response {
    let Some(place) = edge.sockets.take(identity.caller().user) else {
        return crowded(&trace_of(&headers));
    };
    let (token, session) = edge.streams.reserve(identity);
    let (shutdown, limits) = (edge.shutdown.clone(), Arc::clone(&edge.socket));
    edge.engine.tasks().spawn(async move {
        let reason = session.run(&shutdown, &limits).await;
        drop(place);
        metrics::counter!(LIVE_ENDINGS, "transport" => TRANSPORT, "reason" => reason).increment(1);
    });
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::CREATED, plain, token).into_response()
}

/// Opens a stream that was reserved.
pub async fn open(
    State(edge): EdgeState,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    url: InUrl,
) -> Response {
    match edge.streams.open(&token(&headers, &url), &identity) {
        Ok(unsent) => {
            let (shutdown, limits) = (edge.shutdown.clone(), Arc::clone(&edge.socket));
            let events = Events::told(true, async move |way| {
                forward(unsent, way, &shutdown, &limits).await;
            });
            response(events, trace_of(&headers).trace_id())
        }
        Err(refused) => refuse(refused),
    }
}

/// Sends what the stream's session has to tell. Once the program stops, who does not read is given up a moment after the session's turn, and
/// everybody a moment after the session has ended.
async fn forward(
    mut unsent: Receiver<String>,
    mut way: Way,
    shutdown: &Shutdown,
    limits: &SocketSettings,
) {
    // The session gives up a slow client first, and says so.
    let patience = limits.write_timeout * 2;
    let mut over = pin!(stopped(shutdown, limits.handover + DRAIN + GOODBYE / 2));
    loop {
        let event = tokio::select! {
            event = unsent.recv() => event,
            () = way.closed() => return,
            () = &mut over => return,
        };
        let telling = async {
            if let Some(event) = event {
                way.tell(event).await.is_ok()
            } else {
                way.end().await;
                false
            }
        };
        let goes_on = tokio::select! {
            biased;
            told = timeout(patience, telling) => told.unwrap_or(false),
            () = stopped(shutdown, limits.handover + GOODBYE) => false,
            () = &mut over => false,
        };
        if !goes_on {
            return;
        }
    }
}

/// Ends so long after the program was asked to stop, or after now if that was before.
async fn stopped(shutdown: &Shutdown, after: Duration) {
    shutdown.requested().await;
    sleep(after).await;
}

/// Begins an operation, whose answers the stream carries.
pub async fn begin(
    State(edge): EdgeState,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    url: InUrl,
    body: Sent,
) -> Response {
    let trace = trace_of(&headers);
    let request = match post::read(&headers, body) {
        Ok(request) => request.data(caller),
        Err((status, problem)) => return reject(status, problem, &headers, &trace),
    };
    let id = match request.extensions.get(OPERATION_ID) {
        Some(async_graphql::Value::String(id)) if id.len() <= ID_BYTES => id.clone(),
        Some(_) => {
            let problem =
                format!("extensions.{OPERATION_ID} must be a text of {ID_BYTES} bytes at most");
            return reject(StatusCode::BAD_REQUEST, problem, &headers, &trace);
        }
        None => {
            let problem = format!("extensions.{OPERATION_ID} is missing");
            return reject(StatusCode::BAD_REQUEST, problem, &headers, &trace);
        }
    };
    let found = edge.streams.commands(&token(&headers, &url), &identity);
    let Some((commands, identity)) = found else {
        return refuse(Refused::NoStream);
    };
    let started = edge.operations.start(request, &identity, trace);
    let asked = session::ask(&commands, |answer| Command::Start {
        id,
        started,
        answer,
    });
    match timeout(edge.socket.write_timeout, asked).await {
        Ok(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Ok(Err(refused)) => refuse(refused),
        Err(_) => refuse(Refused::NoStream),
    }
}

/// Ends an operation; one that is over already is fine.
pub async fn end(
    State(edge): EdgeState,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    url: InUrl,
) -> Response {
    let found = edge.streams.commands(&token(&headers, &url), &identity);
    let Some((commands, _)) = found else {
        return refuse(Refused::NoStream);
    };
    let id = url.ok().and_then(|Query(url)| url.operation_id);
    let Some(id) = id.filter(|id| id.len() <= ID_BYTES) else {
        let problem = format!("{OPERATION_ID} is missing in the URL");
        return reject(
            StatusCode::BAD_REQUEST,
            problem,
            &headers,
            &trace_of(&headers),
        );
    };
    let asked = session::ask(&commands, |answer| Command::Stop { id, answer });
    match timeout(edge.socket.write_timeout, asked).await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(refused)) => refuse(refused),
        Err(_) => refuse(Refused::NoStream),
    }
}

fn token(headers: &HeaderMap, url: &InUrl) -> String {
    let header = headers.get(TOKEN).and_then(|token| token.to_str().ok());
    let in_url = url
        .as_ref()
        .ok()
        .and_then(|Query(url)| url.token.as_deref());
    header.or(in_url).unwrap_or_default().to_owned()
}

fn refuse(refused: Refused) -> Response {
    let (status, message) = match refused {
        Refused::NoStream => (StatusCode::NOT_FOUND, "Stream not found"),
        Refused::AlreadyOpen => (StatusCode::CONFLICT, "Stream already open"),
        Refused::Duplicate => (StatusCode::CONFLICT, "Operation with ID already exists"),
    };
    let body: Value = serde_json::json!({ "errors": [{ "message": message }] });
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use shop_core::runtime::Settings;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn when_the_program_stops_who_does_not_read_is_given_up_whatever_the_session_does() {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let limits = settings.edge.socket;
        let ((tell, unsent), (events, _unread)) = (mpsc::channel(1), mpsc::channel(1));
        let shutdown = Shutdown::new();
        let telling = async {
            for _ in 0..2 {
                tell.send(":\n\n".to_owned()).await.expect("it is read");
            }
            sleep(Duration::from_secs(1)).await; // the second one waits for the client
            shutdown.request();
            Instant::now()
        };
        let forwarding = forward(unsent, Way::Body(events), &shutdown, &limits);
        let ((), asked) = tokio::join!(forwarding, telling);
        let after = asked.elapsed();
        let most = limits.handover + GOODBYE;
        assert!(
            (most..most + Duration::from_millis(10)).contains(&after),
            "{after:?}"
        );
    }
}

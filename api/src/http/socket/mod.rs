//! Sockets on `/graphql`: what comes and goes over an upgraded connection.
//!
//! `session` serves a socket, whatever it speaks; `wire` reads and writes it within bounds; `ending` says why it ends;
//! `dialect` and a file for each protocol say how things are worded.

mod dialect;
mod ending;
mod legacy_ws;
mod session;
#[cfg(test)]
mod tests;
mod transport_ws;
mod wire;

use std::pin::Pin;
use std::sync::Arc;

use async_graphql::Request;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use shop_core::runtime::metrics::{LIVE_ENDINGS, LIVE_SOCKETS};
use shop_core::runtime::trace;

use self::dialect::Dialect;
use self::ending::Ending;
use self::session::{Host, Session, Verdict};
use self::wire::Wire;
use super::operations::{Operations, Started, refusal};
use super::places::Standing;
use super::rate::Caller;
use super::refusal::crowded;
use super::{Edge, trace_of};
use crate::graphql::error::server_error;
use crate::identity::{Identity, Verifier};

/// What a socket holds to read into, and reads at once. A message of up to half of it fits; for a larger one it grows, for good, by as
/// much as that needs. The library's own is 128 KiB.
const READ_BYTES: usize = 512;
/// From how much on it writes without being asked to. It is asked to whenever it was given some.
const WRITE_BYTES: usize = 4 * 1024;
/// What the socket itself may hold besides one answer: pongs to a client that does not read them.
const PONG_BYTES: usize = 64 * 1024;

/// Upgrades, or says why not.
pub fn upgrade(
    edge: Arc<Edge>,
    identity: Option<Identity>,
    headers: &HeaderMap,
    caller: Caller,
    upgrade: WebSocketUpgrade,
) -> Response {
    let dialect = dialect::preferred(headers);
    let upgrade = upgrade.protocols(dialect.map(|dialect| dialect.name));
    // A client that offers others alone would not accept a socket without one of them, and never see a close code.
    if dialect.is_none() && headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        let names = dialect::ALL.map(|dialect| dialect.name).join(" or ");
        let hint = format!("the protocol must be {names}\n");
        return (StatusCode::BAD_REQUEST, hint).into_response();
    }
    let standing = match &identity {
        Some(identity) => edge.sockets.take(identity.caller().user),
        None => Some(edge.sockets.take_as_stranger()),
    };
    let Some(standing) = standing else {
        return crowded(&trace_of(headers));
    };
    let limits = &edge.socket;
    let longest = edge.settings.answer_bytes.max(limits.message_bytes);
    let tasks = edge.engine.tasks().clone();
    let upgrading = tasks.token(); // so that the program waits for who is just coming
    // In a task of its own: that of the upgrade keeps what led to it as long as it lasts.
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(longest.saturating_add(PONG_BYTES))
        .max_message_size(limits.message_bytes)
        .max_frame_size(limits.message_bytes)
        .on_upgrade(async move |socket| {
            tasks.spawn(serve(socket, dialect, identity, standing, caller, &edge));
            drop(upgrading);
        })
}

/// The future is on the heap, and holds nothing twice: ten thousand of them wait.
fn serve(
    socket: WebSocket,
    dialect: Option<&'static Dialect>,
    identity: Option<Identity>,
    standing: Standing,
    caller: Caller,
    edge: &Edge,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let protocol = dialect.map_or("none", |dialect| dialect.name);
    let open = Open::new(protocol);
    let limits = Arc::clone(&edge.socket);
    let ended = move |ending: &Ending| {
        let (reason, _open) = (ending.word(), open);
        metrics::counter!(LIVE_ENDINGS, "transport" => protocol, "reason" => reason).increment(1);
        tracing::debug!(protocol, reason, "a socket ended");
    };
    let Some(dialect) = dialect else {
        let mut wire = Wire::new(socket, limits);
        return Box::pin(async move {
            let ending = Ending::NoProtocol;
            wire.finish(&ending).await;
            ended(&ending);
            drop(standing);
        });
    };
    let host = Behind {
        operations: edge.operations.clone(),
        verifier: edge.verifier.clone(),
        caller,
    };
    let mut session = Session::new(socket, dialect, host, identity, standing, limits);
    let shutdown = edge.shutdown.clone();
    Box::pin(async move { ended(&session.run(&shutdown).await) })
}

/// The program behind a socket.
struct Behind {
    operations: Operations,
    verifier: Verifier,
    caller: Caller,
}

impl Host for Behind {
    fn begin(&self, request: Request, identity: &Identity) -> Started {
        let caller = self.caller.as_user(identity.caller().user);
        let trace = trace::new_trace();
        // As a request does that brings one.
        if let Err(error) = caller.charge(1) {
            return Started::refused(refusal(server_error(error), &trace));
        }
        self.operations.start(request.data(caller), identity, trace)
    }

    fn verify(&self, token: String) -> BoxFuture<'static, Verdict> {
        let verifier = self.verifier.clone();
        Box::pin(async move { verifier.verify(&token).await })
    }
}

/// A socket as long as it is counted.
struct Open(&'static str);

impl Open {
    fn new(protocol: &'static str) -> Self {
        metrics::gauge!(LIVE_SOCKETS, "protocol" => protocol).increment(1);
        Self(protocol)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_SOCKETS, "protocol" => self.0).decrement(1);
    }
}

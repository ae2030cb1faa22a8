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

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shop_core::runtime::metrics::{LIVE_ENDINGS, LIVE_SOCKETS};
use shop_core::runtime::trace;

use self::dialect::Dialect;
use self::ending::Ending;
use self::session::Session;
use self::wire::Wire;
use super::Edge;

/// The library's own are 128 KiB per socket.
const BUFFER_BYTES: usize = 4 * 1024;
/// What the socket itself may hold besides one answer: pongs to a client that does not read them.
const PONG_BYTES: usize = 64 * 1024;
/// After how many seconds to try again when there are too many sockets.
const RETRY_AFTER: &str = "5";

/// Upgrades, or says why not.
pub fn upgrade(edge: Edge, headers: &HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let dialect = dialect::preferred(headers);
    let upgrade = upgrade.protocols(dialect.map(|dialect| dialect.name));
    // A client that offers others alone would not accept a socket without one of them, and never see a close code.
    if dialect.is_none() && headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        let names = dialect::ALL.map(|dialect| dialect.name).join(" or ");
        let hint = format!("the protocol must be {names}\n");
        return (StatusCode::BAD_REQUEST, hint).into_response();
    }
    let Some(place) = edge.sockets.take() else {
        let retry = [(header::RETRY_AFTER, RETRY_AFTER)];
        let hint = "there are too many sockets; try again later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry, hint).into_response();
    };
    let limits = &edge.settings.socket;
    let longest = edge.settings.answer_bytes.max(limits.message_bytes);
    let tasks = edge.engine.tasks().clone();
    upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(longest.saturating_add(PONG_BYTES))
        .max_message_size(limits.message_bytes)
        .max_frame_size(limits.message_bytes)
        .on_upgrade(move |socket| {
            tasks.track_future(async move {
                serve(socket, dialect, &edge).await;
                drop(place);
            })
        })
}

async fn serve(socket: WebSocket, dialect: Option<&'static Dialect>, edge: &Edge) {
    let limits = &edge.settings.socket;
    let protocol = dialect.map_or("none", |dialect| dialect.name);
    let _open = Open::new(protocol);
    let ending = if let Some(dialect) = dialect {
        let begin = |request| edge.operations.start(request, trace::new_trace());
        let session = Session::new(socket, dialect, begin, limits);
        session.run(&edge.shutdown).await
    } else {
        let ending = Ending::NoProtocol;
        Wire::new(socket, limits).finish(&ending).await;
        ending
    };
    let reason = ending.word();
    metrics::counter!(LIVE_ENDINGS, "transport" => protocol, "reason" => reason).increment(1);
    tracing::debug!(protocol, reason, "a socket ended");
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

//! `GET /graphql`: an upgrade to a WebSocket by the protocol `graphql-transport-ws`, and nothing else.
//!
//! The library drives the protocol; around it stand what it lacks: small buffers, a writer of its own with a bounded queue
//! and a bounded wait for a slow client, pings, a bound on silence and on a handshake that does not come, and an orderly
//! close when the program stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{Data, Executor, Request, Response};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::body::Bytes;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{FromRequestParts as _, State};
use axum::http::{self, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use futures::channel::mpsc::{self, Receiver};
use futures::stream::{self, BoxStream, SplitSink, SplitStream, StreamExt as _};
use futures::{SinkExt as _, Stream};
use shop_core::runtime::{Shutdown, trace};
use tokio::time::timeout;

use super::execute::{Counted, Engine};
use super::{BODY_BYTES, EdgeState};
use crate::graphql::error::{ApiError, dress, server_error};

const PROTOCOL: &str = "graphql-transport-ws";
/// The library's own are 128 KiB per socket.
const BUFFER_BYTES: usize = 4 * 1024;
/// What may wait in the socket itself for a slow client.
const UNSENT_BYTES: usize = 4 * BODY_BYTES;
/// Messages that may wait for the socket.
const UNSENT_MESSAGES: usize = 16;
/// Subscriptions of one socket, at most.
const SUBSCRIPTIONS: usize = 100;
/// How long one message may take to go out.
const WRITE: Duration = Duration::from_secs(10);
/// How often a sign of life is asked for.
const PING: Duration = Duration::from_secs(20);
/// How long a client may be silent; it answers each ping.
const SILENCE: Duration = Duration::from_mins(1);
/// How long the protocol's handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The protocol's code for a message that is none.
const CLOSE_BAD_REQUEST: u16 = 4400;
/// The protocol's code for an operation before the handshake.
const CLOSE_UNAUTHORIZED: u16 = 4401;
/// The protocol's code for a handshake that did not come.
const CLOSE_NO_HANDSHAKE: u16 = 4408;
/// RFC 6455: the server goes away.
const CLOSE_GOING_AWAY: u16 = 1001;

/// Upgrades, or says why not.
pub async fn upgrade(
    State(edge): EdgeState,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> HttpResponse {
    let Ok(upgrade) = upgrade else {
        let hint = "POST /graphql runs an operation; GET /graphql only upgrades to a WebSocket\n";
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "POST")],
            hint,
        )
            .into_response();
    };
    let Some(protocol) = protocol(&headers).await else {
        return (
            StatusCode::BAD_REQUEST,
            format!("the protocol must be {PROTOCOL}\n"),
        )
            .into_response();
    };
    let tasks = edge.engine.tasks().clone();
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(UNSENT_BYTES)
        .max_message_size(BODY_BYTES)
        .max_frame_size(BODY_BYTES)
        .on_upgrade(move |socket| {
            tasks.track_future(serve(socket, edge.engine, protocol, edge.shutdown))
        })
}

/// The one protocol, if the client offers it. The library also reads its predecessor, so it is shown this one alone.
async fn protocol(headers: &HeaderMap) -> Option<GraphQLProtocol> {
    let offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim() == PROTOCOL);
    if !offered {
        return None;
    }
    let shown = http::Request::builder()
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(())
        .ok()?;
    GraphQLProtocol::from_request_parts(&mut shown.into_parts().0, &())
        .await
        .ok()
}

async fn serve(socket: WebSocket, engine: Engine, protocol: GraphQLProtocol, shutdown: Shutdown) {
    let (sink, incoming) = socket.split();
    let (outgoing, unsent) = mpsc::channel(UNSENT_MESSAGES);
    let writer = engine.tasks().spawn(write(sink, unsent));
    let shaken = Arc::new(AtomicBool::new(false));
    let on_init = {
        let shaken = Arc::clone(&shaken);
        move |_: serde_json::Value| async move {
            shaken.store(true, Ordering::Relaxed);
            Ok(Data::default())
        }
    };
    let executor = SocketExecutor {
        engine,
        open: Arc::default(),
    };
    let graphql = GraphQLWebSocket::new_with_pair(
        outgoing.clone(),
        bounded_silence(incoming),
        executor,
        protocol,
    )
    .on_connection_init(on_init);
    let close = tokio::select! {
        () = graphql.serve() => None,
        () = no_handshake(&shaken) => Some((CLOSE_NO_HANDSHAKE, "Connection initialisation timeout")),
        () = shutdown.requested() => Some((CLOSE_GOING_AWAY, "the server is going away")),
    };
    if let Some((code, reason)) = close {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let mut outgoing = outgoing.clone();
        let _ = timeout(WRITE, outgoing.send(Message::Close(Some(frame)))).await;
    }
    drop(outgoing);
    let _ = writer.await;
}

/// Ends when the handshake has not come in time; never otherwise.
async fn no_handshake(shaken: &AtomicBool) {
    tokio::time::sleep(HANDSHAKE).await;
    if shaken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// What the client sends, until it is silent for too long.
fn bounded_silence(
    incoming: SplitStream<WebSocket>,
) -> impl Stream<Item = Result<Message, axum::Error>> {
    stream::unfold(incoming, async |mut incoming| {
        let message = timeout(SILENCE, incoming.next()).await.ok()??;
        Some((message, incoming))
    })
}

/// The library closes with codes of its own, and with reasons that can be longer than a close frame may be.
fn by_protocol(message: Message) -> Message {
    let Message::Close(Some(frame)) = message else {
        return message;
    };
    let (code, reason) = match frame.code {
        1002 => (CLOSE_BAD_REQUEST, "Invalid message"),
        1011 => (CLOSE_UNAUTHORIZED, "Unauthorized"),
        _ => return Message::Close(Some(frame)),
    };
    Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }))
}

/// Sends what is queued, and pings in between, until there is no more to send or the client does not take it.
async fn write(mut sink: SplitSink<WebSocket, Message>, mut unsent: Receiver<Message>) {
    let mut pings = tokio::time::interval(PING);
    pings.reset();
    loop {
        let message = tokio::select! {
            message = unsent.next() => message,
            _ = pings.tick() => Some(Message::Ping(Bytes::new())),
        };
        let Some(message) = message else { break };
        let message = by_protocol(message);
        let is_last = matches!(message, Message::Close(_));
        let sent = timeout(WRITE, sink.send(message)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    let _ = timeout(WRITE, sink.close()).await;
}

/// Runs what comes over one socket.
#[derive(Clone)]
struct SocketExecutor {
    engine: Engine,
    open: Arc<AtomicUsize>,
}

impl Executor for SocketExecutor {
    async fn execute(&self, request: Request) -> Response {
        self.engine.run(request, &trace::new_trace()).await.response
    }

    fn execute_stream(
        &self,
        request: Request,
        _session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let trace = trace::new_trace();
        let Some(place) = Counted::one_of(SUBSCRIPTIONS, &self.open) else {
            let mut error = server_error(ApiError::TooManySubscriptions);
            dress(&mut error, &trace);
            return stream::iter([Response::from_errors(vec![error])]).boxed();
        };
        self.engine
            .stream(request, trace)
            .map(move |response| {
                let _held = &place; // for as long as the stream is there
                response
            })
            .boxed()
    }
}

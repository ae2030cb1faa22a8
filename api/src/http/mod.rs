//! HTTP: one endpoint for GraphQL, and the page that speaks to it. Those who watch the program ask at another address.
//!
//! `POST /graphql` runs one operation, `GET /graphql` a query, upgrades to a WebSocket or streams events, `GET /` is `GraphiQL`. Knows
//! nothing of the schema but how to run a request on it.
//!
//! `accept` serves connections, `seats` bounds them, and `leftover` clears the way to the next request. `gate` says from where one may call, `client` from which address, `admit` who does, `rate`
//! how much; `limits` what may be asked, and `lanes` how much at once. `execute` runs requests, `subscribed` what goes on; `operations` those
//! whose answers come one after the other, which `socket`, `events` and `stream` frame. `carry` takes event streams off the HTTP server. To add a
//! transport: a file that frames `operations::Step`s.

mod accept;
mod admit;
mod asked;
pub mod assets;
mod body;
mod carry;
mod client;
mod connection;
mod events;
pub mod execute;
mod gate;
mod get;
pub(crate) mod lanes;
mod leftover;
mod limits;
mod operations;
mod parting;
mod places;
mod post;
mod pulse;
pub mod rate;
mod refusal;
mod running;
mod seats;
mod secure;
mod sent;
mod socket;
mod stream;
mod subscribed;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing;
use shop_core::events::TraceParent;
use shop_core::runtime::metrics::{HTTP_REFUSED, HTTP_REQUEST_DURATION};
use shop_core::runtime::settings::{EdgeSettings, SocketSettings};
use shop_core::runtime::{Shutdown, trace};
use tokio::net::TcpListener;

pub use self::accept::listen;
use self::execute::Engine;
use self::gate::Gate;
use self::operations::Operations;
use self::places::Halls;
use self::rate::Rates;
use self::stream::Streams;
use crate::identity::Verifier;

/// Where GraphQL is.
const PATH: &str = "/graphql";

/// What the handlers work with.
struct Edge {
    engine: Engine,
    verifier: Verifier,
    operations: Operations,
    /// Sockets and event streams.
    sockets: Halls,
    streams: Streams,
    settings: Arc<EdgeSettings>,
    /// Of them what each socket and stream needs.
    socket: Arc<SocketSettings>,
    shutdown: Shutdown,
}

/// All routes that the public may know, those of pages to explore the schema included if there are any.
pub fn router(
    engine: Engine,
    verifier: Verifier,
    shutdown: &Shutdown,
    pages: Option<Router>,
    settings: &EdgeSettings,
) -> Router {
    let engine = engine.at_once(&settings.http);
    let edge = Arc::new(Edge {
        operations: Operations::new(engine.clone(), settings),
        sockets: Halls::new(settings.sockets, settings.sockets_per_user),
        streams: Streams::default(),
        settings: Arc::new(settings.clone()),
        socket: Arc::new(settings.socket.clone()),
        engine,
        verifier,
        shutdown: shutdown.clone(),
    });
    let tasks = edge.engine.tasks().clone();
    let graphql = Router::new()
        .route(PATH, routing::get(get::graphql).post(post::graphql))
        .route(
            "/graphql/stream",
            routing::put(stream::reserve)
                .get(stream::open)
                .post(stream::begin)
                .delete(stream::end),
        )
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&edge),
            admit::guard,
        ))
        .layer(middleware::from_fn_with_state(
            Rates::new(&settings.http),
            rate::guard,
        ))
        .with_state(edge);
    graphql
        .merge(pages.unwrap_or_default())
        .layer(middleware::from_fn_with_state(
            Gate::new(settings),
            gate::guard,
        ))
        .layer(middleware::from_fn_with_state(
            settings.https_only,
            secure::answer,
        ))
        .layer(middleware::from_fn(measure))
        .layer(middleware::from_fn_with_state(tasks, carry::carry))
}

/// Serves until the program is asked to stop, then finishes what is under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    engine: &Engine,
    settings: &EdgeSettings,
    shutdown: &Shutdown,
) {
    for reason in ["rate", "overload", "connections", "sockets", "slow"] {
        metrics::counter!(HTTP_REFUSED, "reason" => reason).increment(0);
    }
    accept::serve(listener, &router, &settings.http, shutdown).await;
    engine.finish().await;
}

/// The trace that a request belongs to: a step of the client's, or the first of a new one.
fn trace_of(headers: &axum::http::HeaderMap) -> TraceParent {
    headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or_else(trace::new_trace, |parent| trace::child_of(&parent))
}

async fn measure(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics::histogram!(
        HTTP_REQUEST_DURATION,
        "method" => word_of(&method),
        "path" => route.unwrap_or_else(|| "none".to_owned()),
        "status" => response.status().as_str().to_owned(),
    )
    .record(begun.elapsed());
    response
}

/// A client can make up methods; the metrics keep to these.
fn word_of(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Handlers get the [`Edge`] like this: a layer clones its state for each request.
type EdgeState = State<Arc<Edge>>;

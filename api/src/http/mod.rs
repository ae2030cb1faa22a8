//! HTTP: one endpoint for GraphQL, and the page that speaks to it. Those who watch the program ask at another address.
//!
//! `POST /graphql` runs one operation, `GET /graphql` a query, upgrades to a WebSocket or streams events, `GET /` is `GraphiQL`. Knows
//! nothing of the schema but how to run a request on it.
//!
//! `gate` says who may call. `execute` runs requests, `subscribed` what goes on; `operations` those whose answers come one after the
//! other, which `socket`, `events` and `stream` frame. `carry` takes event streams off the HTTP server. To add a transport: a
//! file that frames `operations::Step`s.

mod asked;
pub mod assets;
mod body;
mod carry;
mod connection;
mod events;
pub mod execute;
mod gate;
mod get;
mod nesting;
mod operations;
mod places;
mod post;
mod running;
mod socket;
mod stream;
mod subscribed;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing;
use shop_core::events::TraceParent;
use shop_core::runtime::metrics::HTTP_REQUEST_DURATION;
use shop_core::runtime::settings::{EdgeSettings, Environment};
use shop_core::runtime::{Shutdown, trace};
use tokio::net::TcpListener;

use self::connection::{Connection, Door};
use self::execute::Engine;
use self::gate::Gate;
use self::operations::Operations;
use self::places::Places;
use self::stream::Streams;

/// Bytes of one request, at most.
pub const BODY_BYTES: usize = 1024 * 1024;

/// What the handlers work with.
#[derive(Clone)]
struct Edge {
    engine: Engine,
    operations: Operations,
    /// Sockets, and streams of many operations.
    sockets: Places,
    streams: Streams,
    settings: Arc<EdgeSettings>,
    shutdown: Shutdown,
}

/// All routes that the public may know.
pub fn router(
    engine: Engine,
    shutdown: &Shutdown,
    environment: Environment,
    settings: &EdgeSettings,
) -> Router {
    let edge = Edge {
        operations: Operations::new(engine.clone(), settings),
        sockets: Places::new(settings.sockets),
        streams: Streams::default(),
        settings: Arc::new(settings.clone()),
        engine,
        shutdown: shutdown.clone(),
    };
    let tasks = edge.engine.tasks().clone();
    let graphql = Router::new()
        .route("/graphql", routing::get(get::graphql).post(post::graphql))
        .route(
            "/graphql/stream",
            routing::put(stream::reserve)
                .get(stream::open)
                .post(stream::begin)
                .delete(stream::end),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(edge);
    let page = match environment {
        Environment::Development => assets::router(),
        Environment::Production => Router::new(),
    };
    graphql
        .merge(page)
        .layer(middleware::from_fn_with_state(
            Gate::new(settings),
            gate::guard,
        ))
        .layer(middleware::from_fn(measure))
        .layer(middleware::from_fn_with_state(tasks, carry::carry))
}

/// Serves until the program is asked to stop, then finishes what is under way.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    engine: &Engine,
    shutdown: &Shutdown,
) -> std::io::Result<()> {
    let stop = shutdown.clone();
    axum::serve(
        Door(listener),
        router.into_make_service_with_connect_info::<Connection>(),
    )
    .with_graceful_shutdown(async move { stop.requested().await })
    .await?;
    engine.finish().await;
    Ok(())
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

/// Handlers get the [`Edge`] like this.
type EdgeState = State<Edge>;

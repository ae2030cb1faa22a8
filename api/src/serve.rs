//! `api serve`: puts the parts together and serves until the program is asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use shop_core::db::Db;
use shop_core::runtime::settings::{Settings, TokenKeys};
use shop_core::runtime::{Runtime, open_files};
use shop_core::views::Views;
use tokio::net::TcpListener;

use crate::graphql::{App, schema};
use crate::http::assets::{self, Demo};
use crate::http::execute::Engine;
use crate::http::{self, router};
use crate::identity::Verifier;
use crate::identity::demo::Signer;
use crate::live::Live;
use crate::live::feed::Feed;

/// Files that the process has open besides connections and the stores' pools, at most: logs, keys, brokers, who asks for figures.
const OTHER_FILES: usize = 256;

/// Serves, and tells those who run it how it does on an address of its own. Starts while its servers are away, and says so at
/// `/readyz`.
///
/// # Errors
/// If the settings can not be used or an address is taken.
pub async fn run(mut runtime: Runtime) -> anyhow::Result<()> {
    make_room(Arc::make_mut(&mut runtime.settings));
    let addr = runtime.settings.http_addr;
    let listener = http::listen(addr);
    let listener = listener.with_context(|| format!("failed to listen on HTTP_ADDR {addr}"))?;
    announce(&listener, &runtime.settings)?;
    // Last, so that who is alive can be reached.
    let addr = runtime.health.listen(runtime.settings.health_addr).await?;
    tracing::info!(health.addr = %addr, "health and figures are at http://{addr}/");
    serve(runtime, listener).await
}

/// The same on a listener that is there already, without the address for those who run it.
///
/// # Errors
/// As [`run`].
pub async fn serve(runtime: Runtime, listener: TcpListener) -> anyhow::Result<()> {
    let Runtime {
        program,
        settings,
        shutdown,
        health,
    } = runtime;
    let db =
        Db::new(&settings.mysql, settings.kafka.encoding).context("failed to make the pool")?;
    let views = Views::connect(&settings.mongo, program.as_str()).await?;
    let (live, feed) = (Live::new(&settings.kafka), Feed::new());
    register(&health, &db, &views, &feed);
    let verifier = Verifier::new(&settings.identity);
    verifier.probe_for(&health);
    let verifying = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.run().await }
    });

    let reading = tokio::spawn({
        let (feed, live, kafka) = (feed.clone(), live.clone(), settings.kafka.clone());
        async move { feed.run(&kafka, &live).await }
    });
    let pages = (settings.edge.explorers).then(|| assets::router(demo(&settings, &db)));
    let app = App {
        db,
        views: views.clone(),
        live,
        idempotency_ttl: settings.idempotency_ttl,
        read_your_write_timeout: settings.read_your_write_timeout,
    };
    let schema = schema(app, settings.edge.introspection);
    let engine = Engine::new(schema, views, settings.request_timeout);
    let routes = router(engine.clone(), verifier, &shutdown, pages, &settings.edge);
    http::serve(listener, routes, &engine, &settings.edge, &shutdown).await;
    reading.abort();
    verifying.abort();
    Ok(())
}

/// Sees to it that all connections of the settings can be open beside what the stores need, or takes fewer: what can not be opened
/// fails for everybody.
fn make_room(settings: &mut Settings) {
    let connections = settings.edge.http.connections;
    let mongo = usize::try_from(settings.mongo.pool_size).unwrap_or_default();
    let others = OTHER_FILES + settings.mysql.pool_size + mongo;
    let wanted = connections + others;
    let limit = open_files::raise(wanted);
    let fit = open_files::connections_beside(others, limit);
    if fit < connections {
        tracing::warn!(
            "{} open files are too few for {connections} connections: {fit} are taken; raise the limit (ulimit -Hn) to {wanted}, or lower HTTP_CONNECTIONS",
            limit.unwrap_or_default()
        );
        settings.edge.http.connections = fit;
    }
}

fn announce(listener: &TcpListener, settings: &Settings) -> anyhow::Result<()> {
    let addr: SocketAddr = listener
        .local_addr()
        .context("failed to read the address")?;
    let everybody_knows = matches!(settings.identity.keys, TokenKeys::EverybodyKnows);
    if everybody_knows && !addr.ip().is_loopback() {
        tracing::warn!(http.addr = %addr, "HTTP_ADDR is no loopback address, and tokens are verified with the secret that everybody knows: set JWT_SECRET or JWT_JWKS");
    }
    tracing::info!(http.addr = %addr, "listening on http://{addr}/");
    Ok(())
}

/// What signs tokens for the pages: only with the secret that everybody knows, never with one that counts elsewhere.
fn demo(settings: &Settings, db: &Db) -> Option<Demo> {
    if !matches!(settings.identity.keys, TokenKeys::EverybodyKnows) {
        return None;
    }
    let signer = Signer::new(settings.environment, &settings.identity).ok()?;
    let db = db.clone();
    Some(Demo { signer, db })
}

fn register(health: &shop_core::runtime::Health, db: &Db, views: &Views, feed: &Feed) {
    db.probe_for(health);
    views.probe_for(health);
    let feed = feed.clone();
    health.register("kafka", move || {
        let feed = feed.clone();
        async move { feed.probe().await }
    });
}

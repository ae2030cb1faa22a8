//! Copies of the API over the same stores, each with a hub and a port of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shop_api::graphql::{App, schema};
use shop_api::http::{self, execute::Engine};
use shop_api::identity::Verifier;
use shop_api::live::Live;
use shop_core::db::Db;
use shop_core::events::Encoding;
use shop_core::runtime::{Program, Shutdown};
use shop_core::testkit::{TestDb, TestViews};
use shop_core::views::Views;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::shop::{Options, PATIENCE, edge, kafka};
use crate::tokens;

/// What is live in all copies.
#[derive(Clone, Default)]
pub struct Hubs(Arc<Mutex<Vec<Live>>>);

impl Hubs {
    pub fn add(&self, live: &Live) {
        self.0.lock().expect("no panic").push(live.clone());
    }

    pub fn all(&self) -> Vec<Live> {
        self.0.lock().expect("no panic").clone()
    }
}

/// One copy.
pub struct ApiCopy {
    pub live: Live,
    pub addr: SocketAddr,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<()>,
}

impl ApiCopy {
    pub async fn open(db: &TestDb, views: &TestViews, options: Options) -> Self {
        let kafka = options.kafka.unwrap_or_else(kafka);
        let live = Live::new(&kafka);
        let mysql = match options.mysql {
            Some(mysql) => mysql,
            None => db.settings_as(Program::Api).await,
        };
        let mongo = options.mongo.unwrap_or_else(|| views.settings().clone());
        let app = App {
            db: (options.db).unwrap_or_else(|| Db::new(&mysql, Encoding::Json).expect("a pool")),
            views: Views::connect(&mongo, "test").await.expect("an address"),
            live: live.clone(),
            idempotency_ttl: Duration::from_hours(24),
            read_your_write_timeout: options.read_your_write_timeout.unwrap_or(PATIENCE),
        };
        let edge = options.edge.unwrap_or_else(edge);
        let shutdown = Shutdown::new();
        let read = app.views.clone();
        let deadline = options.deadline.unwrap_or(PATIENCE);
        let engine = Engine::new(schema(app, edge.introspection), read, deadline);
        let verifier = Verifier::new(&options.identity.unwrap_or_else(tokens::identity));
        let pages = Some(http::assets::router(None));
        let routes = http::router(engine.clone(), verifier.clone(), &shutdown, pages, &edge);
        tokio::spawn(async move { verifier.run().await });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let stop = shutdown.clone();
        let serving =
            tokio::spawn(async move { http::serve(listener, routes, &engine, &edge, &stop).await });
        Self {
            live,
            addr,
            shutdown,
            serving,
        }
    }
}

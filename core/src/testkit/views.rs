//! A read side of a test's own.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use crate::runtime::ids;
use crate::runtime::settings::MongoSettings;
use crate::views::Views;

/// How long dropping the database may take before the test goes on without.
const CLEANUP: Duration = Duration::from_secs(20);

/// A MongoDB database of a test's own, with its indexes, dropped with this value. Stands for its [`Views`].
pub struct TestViews {
    views: Views,
    settings: MongoSettings,
    name: String,
}

impl TestViews {
    /// Makes a database.
    ///
    /// # Panics
    /// If the server can not be reached: start it with `make test`, or `lab/engines/engines up`.
    pub async fn new() -> Self {
        let server = super::setting("MONGO_URI", "mongodb://127.0.0.1:47017/shop");
        let name = format!("shop_test_{}", ids::fresh().simple());
        let settings = MongoSettings {
            uri: with_database(&server, &name),
            pool_size: 8,
            timeout: Duration::from_secs(20),
        };
        let views = Views::connect(&settings, "test")
            .await
            .expect("MONGO_URI is an address");
        views
            .ensure_indexes()
            .await
            .expect("MongoDB is up: lab/engines/engines up");
        Self {
            views,
            settings,
            name,
        }
    }

    /// The views; a copy shares the connections.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// How to reach the database, for a program under test.
    pub fn settings(&self) -> &MongoSettings {
        &self.settings
    }

    /// The database itself, for what only a test does: looking at a raw document, planting a broken one.
    ///
    /// # Panics
    /// If the address is not one.
    pub async fn database(&self) -> Database {
        database(&self.settings.uri, &self.name)
            .await
            .expect("MONGO_URI is an address")
    }

    /// All documents of a collection as they are stored, by id.
    ///
    /// # Panics
    /// If they can not be read.
    pub async fn raw(&self, collection: &str) -> Vec<Document> {
        use futures::TryStreamExt;

        let documents = self.database().await.collection::<Document>(collection);
        let found = documents
            .find(doc! {})
            .sort(doc! { "_id": 1 })
            .await
            .expect("the documents");
        found.try_collect().await.expect("the documents")
    }
}

impl Deref for TestViews {
    type Target = Views;

    fn deref(&self) -> &Views {
        &self.views
    }
}

impl Drop for TestViews {
    fn drop(&mut self) {
        let (uri, name) = (self.settings.uri.clone(), self.name.clone());
        let (done, wait) = mpsc::channel();
        // A thread of its own, since a test's runtime can not be waited for from inside.
        std::thread::spawn(move || {
            let dropped = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map(|runtime| {
                    runtime.block_on(async { database(&uri, &name).await?.drop().await })
                });
            let _ = done.send(matches!(dropped, Ok(Ok(())))); // nobody waits any more
        });
        let dropped = wait.recv_timeout(CLEANUP) == Ok(true);
        if !std::thread::panicking() {
            assert!(
                dropped,
                "the test's database {} could not be dropped",
                self.name
            );
        }
    }
}

/// A connection of its own: a client's connections belong to the runtime that made it.
async fn database(uri: &str, name: &str) -> mongodb::error::Result<Database> {
    let mut options = ClientOptions::parse(uri).await?;
    options.max_pool_size = Some(1);
    options.server_selection_timeout = Some(CLEANUP);
    Ok(Client::with_options(options)?.database(name))
}

/// The same server, another database.
fn with_database(uri: &str, name: &str) -> String {
    let (address, options) = uri
        .split_once('?')
        .map_or((uri, None), |(a, o)| (a, Some(o)));
    let start = address.find("://").map_or(0, |scheme| scheme + 3);
    let end = address[start..]
        .find('/')
        .map_or(address.len(), |slash| start + slash);
    let base = &address[..end];
    options.map_or_else(
        || format!("{base}/{name}"),
        |options| format!("{base}/{name}?{options}"),
    )
}

//! The read side: `MongoDB` documents that the projector writes and the API reads.
//!
//! Owns the collections `users`, `products`, `stock_levels` and `orders`, once per generation, their indexes, and the cursors of
//! lists. Every
//! document carries its aggregate's version; a write replaces a document only if the stored version is older, so repeats
//! and shuffled events end in the same documents and a version never falls. Deleted documents keep id, version and times
//! (an order also its statuses) and nothing personal; only [`Views::order_state`] shows them.
//!
//! Never reads `MySQL`, never decides anything. To add a view: 1. a file with its document, the conversions both ways,
//! `apply`, `get` and `list`, 2. its collection and indexes in [`Views::ensure_indexes`] and its place in [`View`], 3. its round trip, its shuffled
//! events and its pages in `core/tests/it/views`.

mod apply;
mod cursor;
mod error;
mod fields;
mod generation;
mod image;
mod known;
mod order_document;
mod orders;
mod page;
mod products;
mod reach;
mod stock_levels;
mod users;

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database, IndexModel};

pub use apply::Written;
pub use cursor::{InvalidCursor, OrderCursor, ProductCursor, UserCursor};
pub use error::ViewError;
pub use generation::{FOLLOWS_WITHIN, Served};
pub use image::{FieldDifference, Image, View};
pub use known::Known;
pub use orders::{DeletedOrder, OrderFilter, OrderState};
pub use page::{Page, PageRequest, Take};
pub use products::{ProductFilter, ProductSort};
pub use reach::Reach;
pub use users::UserFilter;

use crate::runtime::Health;
use crate::runtime::settings::MongoSettings;

/// The database when the address names none.
const DEFAULT_DATABASE: &str = "shop";
/// Connections that stay open, so that a burst after a quiet time need not wait for new ones.
const MIN_POOL_SIZE: u32 = 4;
/// Connections that may be opened at once.
const MAX_CONNECTING: u32 = 8;
/// How long a connection above the minimum may idle.
const MAX_IDLE: Duration = Duration::from_mins(1);

/// The views of one database. A copy shares the connections.
#[derive(Clone)]
pub struct Views {
    database: Database,
    timeout: Duration,
    which: generation::Which,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Views")
            .field("database", &self.database.name())
            .finish_non_exhaustive()
    }
}

impl Views {
    /// Gets ready to talk to the server; the first operation connects.
    ///
    /// # Errors
    /// [`ViewError::BadAddress`].
    pub async fn connect(settings: &MongoSettings, app_name: &str) -> Result<Self, ViewError> {
        // The driver's message may quote the address, and that may hold a password: it is dropped.
        let mut options = ClientOptions::parse(&settings.uri)
            .await
            .map_err(|_| ViewError::BadAddress)?;
        options.app_name = Some(app_name.to_owned());
        options.max_pool_size = Some(settings.pool_size);
        options.min_pool_size = Some(MIN_POOL_SIZE.min(settings.pool_size));
        options.max_connecting = Some(MAX_CONNECTING);
        options.max_idle_time = Some(MAX_IDLE);
        options.server_selection_timeout = Some(settings.timeout);
        options.connect_timeout = Some(settings.timeout);
        let name = options
            .default_database
            .clone()
            .unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let client = Client::with_options(options).map_err(|_| ViewError::BadAddress)?;
        Ok(Self {
            database: client.database(&name),
            timeout: settings.timeout,
            which: generation::Which::Served(std::sync::Arc::default()),
        })
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> Result<(), ViewError> {
        self.within(self.database.run_command(doc! { "ping": 1 }))
            .await?;
        Ok(())
    }

    /// Lets `/readyz` ask the server.
    pub fn probe_for(&self, health: &Health) {
        let views = self.clone();
        health.register("mongodb", move || {
            let views = views.clone();
            async move {
                views
                    .ping()
                    .await
                    .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
            }
        });
    }

    /// Makes the collections and their indexes, where they are missing, in the generation that this works on. Several
    /// programs may do so at once.
    pub async fn ensure_indexes(&self) -> Result<(), ViewError> {
        let generation = self.generation().await?;
        let wanted = [
            (users::COLLECTION, users::indexes()),
            (products::COLLECTION, products::indexes()),
            (stock_levels::COLLECTION, Vec::new()),
            (order_document::COLLECTION, orders::indexes()),
        ];
        for (collection, indexes) in wanted {
            let name = &generation::name_in(collection, generation);
            self.ensure_collection(name).await?;
            if !indexes.is_empty() {
                let models = indexes
                    .into_iter()
                    .map(|keys| IndexModel::builder().keys(keys).build());
                let collection: Collection<Document> = self.database.collection(name);
                self.within(collection.create_indexes(models)).await?;
            }
        }
        Ok(())
    }

    async fn ensure_collection(&self, name: &str) -> Result<(), ViewError> {
        match self.within(self.database.create_collection(name)).await {
            Err(ViewError::Refused {
                code: error::NAMESPACE_EXISTS,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    /// Runs one operation with a bound. Dropping it in the middle costs a connection, never a wrong answer.
    async fn within<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, ViewError> {
        match tokio::time::timeout(self.timeout, operation.into_future()).await {
            Ok(answer) => answer.map_err(ViewError::from),
            Err(_) => Err(ViewError::TimedOut(self.timeout)),
        }
    }
}

//! `projector`: keeps the views what the write side is, and tells live subscribers when they are.
//!
//! Reads topics `users`, `products`, `stock-levels` and `orders`; writes the collections of the same names, then topics
//! `order-status` (one record per order event, in the order of the log) and `stock-status` (the newest level per product
//! of a batch). A status is published only after its view is written, so whoever reads the view upon it finds it.
//!
//! At least once: a batch is folded to the newest state per document and written as one command per collection, its statuses
//! are sent and acknowledged, then its offsets are stored. A duplicate finds its document at its version or a later one and
//! changes nothing, but its status is published all the same: after a crash between the write and the statuses the whole
//! batch comes again as duplicates, and a status must not be lost. After a crash between the statuses and the offsets they
//! are published twice; readers tell by the version.
//!
//! Which generation of the views is written, the document of [`gate`] says; a rebuild may change it between two batches.
//!
//! A record that the store refuses for good (too large, say) is parked alone, and the rest of its batch is handled one by one. It is obsolete as
//! soon as a later state of the same aggregate is written: every event carries all of it. MySQL is needed only to park.

pub mod fold;
pub mod gate;
mod status;

use std::sync::Arc;

use anyhow::Context;
use shop_core::bus::{self, HandleError, Outcome, Role};
use shop_core::db::Db;
use shop_core::events::{Encoding, Envelope, Topic};
use shop_core::runtime::failpoint::{self, Step};
use shop_core::runtime::settings::MysqlSettings;
use shop_core::runtime::{Backoff, Runtime, Settings};
use shop_core::views::{ViewError, Views};

pub use status::{StatusSink, StatusTopics};

/// The name of the role and its consumer group.
pub const NAME: &str = "projector";

const TOPICS: &[Topic] = &[
    Topic::Users,
    Topic::Products,
    Topic::StockLevels,
    Topic::Orders,
];

/// The role: see the module.
pub struct Projector<S> {
    views: Views,
    statuses: S,
    encoding: Encoding,
}

/// What a failed write means for the batch: either the store is away, or a record can not be written as it is.
fn failed_write(error: ViewError) -> HandleError {
    let is_away = error.is_retryable();
    let error = anyhow::Error::from(error).context("failed to write the views");
    if is_away {
        error.into()
    } else {
        HandleError::of_a_record(error)
    }
}

impl<S: StatusSink> Projector<S> {
    /// The role over views and the place for statuses, which are written in an encoding.
    pub fn new(views: Views, statuses: S, encoding: Encoding) -> Self {
        Self {
            views,
            statuses,
            encoding,
        }
    }
}

/// Writes a folded batch, one command per collection.
pub(crate) async fn write(
    views: &Views,
    folded: &fold::Folded,
) -> Result<fold::WrittenViews, ViewError> {
    let (users, products, stock_levels, orders) = tokio::try_join!(
        views.apply_users(folded.users.states()),
        views.apply_products(folded.products.states()),
        views.apply_stock_levels(folded.stock_levels.states()),
        views.apply_orders(folded.orders.states()),
    )?;
    Ok(fold::WrittenViews {
        users,
        products,
        stock_levels,
        orders,
    })
}

impl<S: StatusSink> Role for Projector<S> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        TOPICS
    }

    fn later_states_suffice(&self) -> bool {
        true
    }

    /// One write per collection, then the statuses.
    async fn handle(&self, batch: &[Envelope]) -> Result<Vec<Outcome>, HandleError> {
        let folded = fold::fold(batch);
        let written = gate::write(&self.views, &folded)
            .await
            .map_err(failed_write)?;
        failpoint::pass(Step::ViewsWritten).await;
        let statuses = fold::statuses(batch, self.encoding);
        if !statuses.is_empty() {
            let published = self.statuses.publish(statuses).await;
            published.context("failed to publish statuses")?;
        }
        failpoint::pass(Step::StatusesPublished).await;
        Ok(folded.outcomes(&written))
    }
}

/// Runs the program until it is told to stop.
///
/// # Errors
/// If it can not go on: a static member that another copy has taken, a broken setting.
pub async fn run(runtime: Runtime) -> anyhow::Result<()> {
    let settings = &runtime.settings;
    let db = parking_db(settings)?;
    db.probe_for(&runtime.health);
    let views = Views::connect(&settings.mongo, NAME).await?;
    views.probe_for(&runtime.health);
    // Named from the start, so that nobody takes the program for ready before it consumes.
    runtime
        .health
        .register("kafka", async || Err("waits for the views".to_owned()));
    if !prepare(&views, &runtime).await? {
        return Ok(());
    }
    let statuses = StatusTopics::new(settings, runtime.shutdown.clone())?;
    let role = Arc::new(Projector::new(views, statuses, settings.kafka.encoding));
    bus::consume(
        role,
        &db,
        settings,
        runtime.shutdown.clone(),
        Some(&runtime.health),
    )
    .await
}

/// The way to what is parked: a connection for each worker, and one for the readiness probe.
fn parking_db(settings: &Settings) -> anyhow::Result<Db> {
    let enough = settings.consumer.workers + 1;
    let mysql = MysqlSettings {
        pool_size: settings.mysql.pool_size.min(enough),
        ..settings.mysql.clone()
    };
    Ok(Db::new(&mysql, settings.kafka.encoding)?)
}

/// Makes collections and indexes, however long the server is away; false if the program was told to stop meanwhile.
async fn prepare(views: &Views, runtime: &Runtime) -> anyhow::Result<bool> {
    let mut backoff = Backoff::new();
    loop {
        let error = tokio::select! {
            () = runtime.shutdown.requested() => return Ok(false),
            made = views.ensure_indexes() => match made {
                Ok(()) => return Ok(true),
                Err(error) if error.is_retryable() => anyhow::Error::from(error),
                Err(error) => return Err(error).context("failed to make the views' indexes"),
            },
        };
        let wait = backoff.next();
        tracing::warn!("failed to make the views' indexes, trying again in {wait:.1?}: {error:#}");
        tokio::select! {
            () = runtime.shutdown.requested() => return Ok(false),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

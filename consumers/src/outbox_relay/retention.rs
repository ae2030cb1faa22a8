//! Deletes what is old: sent events, the memory of handled ones, and idempotency keys. The leading relay does it, so there is one that does.
//!
//! One table after the other, a batch each, in a transaction of its own on a connection of its own: sending never waits for
//! it, and a lock is held for milliseconds. To add a table: a line in [`tables`].

use std::convert::Infallible;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use shop_core::db::{Conn, Db, StoreError, idempotency, inbox, outbox};
use shop_core::runtime::Backoff;
use shop_core::runtime::metrics::PRUNED_ROWS;
use shop_core::runtime::settings::RetentionSettings;

/// The pause while there is more than a batch: ten batches a second, to catch up without crowding others out.
const BREATH: Duration = Duration::from_millis(100);

/// A table whose old rows nobody needs.
struct Prunable {
    table: &'static str,
    keep: Duration,
    prune: Prune,
}

/// Deletes rows older than a time, so many at most; says how many.
type Prune = for<'c> fn(&'c mut Conn, Duration, usize) -> BoxFuture<'c, Result<usize, StoreError>>;

#[rustfmt::skip]
fn tables(settings: &RetentionSettings) -> [Prunable; 3] {
    [
        Prunable { table: "outbox", keep: settings.outbox, prune: |conn, keep, batch| outbox::prune(conn, keep, batch).boxed() },
        Prunable { table: "idempotency_keys", keep: settings.idempotency, prune: |conn, keep, batch| idempotency::prune(conn, keep, batch).boxed() },
        Prunable { table: "processed_events", keep: settings.inbox, prune: |conn, keep, batch| inbox::prune(conn, keep, batch).boxed() },
    ]
}

/// Makes the counters appear before anything is counted.
pub(super) fn begin_counting(settings: &RetentionSettings) {
    for Prunable { table, .. } in tables(settings) {
        metrics::counter!(PRUNED_ROWS, "table" => table).increment(0);
    }
}

/// Prunes for ever.
pub(super) async fn keep_pruning(db: &Db, settings: &RetentionSettings) -> Infallible {
    let mut backoff = Backoff::new();
    loop {
        let pause = match prune_once(db, settings).await {
            Ok(there_is_more) => {
                backoff.reset();
                if there_is_more {
                    BREATH
                } else {
                    settings.interval
                }
            }
            Err(error) => {
                let pause = backoff.next().max(settings.interval);
                let error = anyhow::Error::from(error);
                let what = format!("failed to delete old rows, trying again in {pause:.1?}");
                crate::complain(&what, &error);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One round: at most a batch of each table. Returns whether one of them was full, so that there may be more.
///
/// # Errors
/// [`StoreError`] of the first statement that failed; what was deleted before stays deleted.
pub async fn prune_once(db: &Db, settings: &RetentionSettings) -> Result<bool, StoreError> {
    let mut there_is_more = false;
    for Prunable { table, keep, prune } in tables(settings) {
        let batch = settings.batch;
        let pruned = db
            .transaction("prune", async move |conn| prune(conn, keep, batch).await)
            .await?;
        metrics::counter!(PRUNED_ROWS, "table" => table)
            .increment(u64::try_from(pruned).unwrap_or(u64::MAX));
        there_is_more |= pruned >= batch;
    }
    Ok(there_is_more)
}

//! How much waits in the outbox, as metrics.

use std::convert::Infallible;
use std::time::Duration;

use shop_core::db::{Db, StoreError, outbox};
use shop_core::runtime::metrics::{OUTBOX_DEPTH, OUTBOX_OLDEST_AGE};

/// How often the figures are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Publishes depth and age, over and over; on a connection of its own, so that counting a long backlog does not hold up
/// sending it.
pub(super) async fn publish(db: &Db) -> Infallible {
    loop {
        let read = db
            .transaction("outbox_depth", async |conn| outbox::depth(conn).await)
            .await;
        match read {
            Ok(depth) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a metric; exact below 2^53 rows"
                )]
                metrics::gauge!(OUTBOX_DEPTH).set(depth.rows as f64);
                metrics::gauge!(OUTBOX_OLDEST_AGE).set(depth.oldest_age_seconds);
            }
            // The leader's own connection will notice; here the figures are only late.
            Err::<_, StoreError>(error) => {
                tracing::debug!("failed to read the outbox's depth: {error}");
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The figures are the leader's to tell, and this process leads no more.
pub(super) fn forget() {
    metrics::gauge!(OUTBOX_DEPTH).set(0.0);
    metrics::gauge!(OUTBOX_OLDEST_AGE).set(0.0);
}

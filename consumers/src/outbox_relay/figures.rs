//! How much waits in the outbox, as metrics.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::time::Duration;

use shop_core::db::{Db, StoreError, outbox};
use shop_core::runtime::metrics::{OUTBOX_DEPTH, OUTBOX_OLDEST_AGE};
use tokio::sync::watch;

/// How often the figures are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Publishes depth and age, over and over; on a connection of its own, so that counting a long backlog does not hold up
/// sending it. Looks where the leader looks; before it knows, nowhere.
pub(super) async fn publish(
    db: &Db,
    where_unsent: watch::Receiver<Vec<RangeInclusive<u64>>>,
) -> Infallible {
    loop {
        let among = where_unsent.borrow().clone();
        let among = among.as_slice();
        let read = db
            .transaction("outbox_depth", async move |conn| {
                outbox::depth(conn, among).await
            })
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

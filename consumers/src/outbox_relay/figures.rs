//! How much waits in the outbox, as metrics.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use shop_core::db::{Db, StoreError, outbox};
use shop_core::runtime::metrics::{OUTBOX_DEPTH, OUTBOX_OLDEST_AGE};
use tokio::sync::watch;

/// How often the figures are read, if that is quick.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often, however slow it is.
const LONGEST: Duration = Duration::from_secs(30);
/// The pause is so many times as long as counting took: 35 ms for 100,000 rows, as measured.
const REST: u32 = 50;

/// Publishes depth and age, over and over; on a connection of its own, so that counting a long backlog does not hold up
/// sending it. Looks where the leader looks; before it knows, nowhere.
pub(super) async fn publish(
    db: &Db,
    where_unsent: watch::Receiver<Vec<RangeInclusive<u64>>>,
) -> Infallible {
    loop {
        let among = where_unsent.borrow().clone();
        let among = among.as_slice();
        let begun = Instant::now();
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
        tokio::time::sleep(pause_after(begun.elapsed())).await;
    }
}

/// A long backlog takes long to count: it is counted less often, so that counting takes a fiftieth of the time at most.
fn pause_after(took: Duration) -> Duration {
    (took * REST).clamp(INTERVAL, LONGEST)
}

/// The figures are the leader's to tell, and this process leads no more.
pub(super) fn forget() {
    metrics::gauge!(OUTBOX_DEPTH).set(0.0);
    metrics::gauge!(OUTBOX_OLDEST_AGE).set(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_to_count_is_counted_less_often() {
        for (took, pause) in [(1, 1_000), (20, 1_000), (100, 5_000), (5_000, 30_000)] {
            let (took, pause) = (Duration::from_millis(took), Duration::from_millis(pause));
            assert_eq!(pause_after(took), pause);
        }
    }
}

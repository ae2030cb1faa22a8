//! What the leader does: read, send, mark.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use shop_core::bus::Producer;
use shop_core::db::lock::NamedLock;
use shop_core::db::outbox;
use shop_core::runtime::failpoint::{self, Step};
use shop_core::runtime::guard::{self, Guard};
use shop_core::runtime::settings::OutboxSettings;
use shop_core::runtime::{Backoff, Shutdown};
use tokio::sync::watch;

use super::outlook::Outlook;
use super::position::Position;

/// How long a batch on its way may take once shutdown is requested.
const LAST_BATCH: Duration = Duration::from_secs(3);

/// Leads until shutdown is requested, then gives the lock up.
///
/// # Errors
/// Whatever ends the term: the lock is lost, a statement failed, or Kafka does not take a record.
pub(super) async fn lead(
    mut lock: NamedLock,
    producer: &Producer,
    settings: &OutboxSettings,
    shutdown: &Shutdown,
    backoff: &mut Backoff,
    where_unsent: &watch::Sender<Vec<RangeInclusive<u64>>>,
) -> anyhow::Result<()> {
    let mut outlook = tokio::select! {
        outlook = Outlook::survey(&mut lock) => outlook?,
        () = shutdown.requested() => return Ok(()), // the lock goes with the connection
    };
    where_unsent.send_replace(outlook.position.ranges());
    while !shutdown.is_requested() {
        let last = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_BATCH).await;
        };
        let sent = tokio::select! {
            sent = relay_step(&mut lock, producer, &mut outlook.position, settings.batch) => sent?,
            () = last => bail!("Kafka did not acknowledge the last batch within {LAST_BATCH:?}"),
        };
        backoff.reset();
        outlook.sweep(&mut lock).await?;
        where_unsent.send_replace(outlook.position.ranges());
        if sent < settings.batch {
            // Looking into the outbox is a heartbeat too, so it is never put off for longer than one.
            let pause = settings.poll_interval.min(lock.heartbeat());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => {}
            }
        }
    }
    lock.unlock().await.context("failed to give the lock up")
}

/// [`relay_step`] of a leader that knows nothing yet: whatever is unsent is found.
///
/// # Errors
/// See [`relay_step`].
pub async fn relay_once(
    lock: &mut NamedLock,
    producer: &Producer,
    batch: usize,
) -> anyhow::Result<usize> {
    relay_step(lock, producer, &mut Position::unknown(), batch).await
}

/// One step: reads the oldest unsent events that the position allows, sends them, and marks them when Kafka has acknowledged them
/// all. Returns how many these were, and notes them in the position.
///
/// While it waits for Kafka it keeps the lock alive.
///
/// # Errors
/// If the lock is lost, a statement failed, or Kafka does not take a record. Nothing is marked then, some may have been sent:
/// purge the producer, and use neither the lock nor the position again.
pub async fn relay_step(
    lock: &mut NamedLock,
    producer: &Producer,
    position: &mut Position,
    batch: usize,
) -> anyhow::Result<usize> {
    let ranges = position.ranges();
    let among = ranges.as_slice();
    let rows = lock
        .run(async move |conn| outbox::unsent_among(conn, among, batch).await)
        .await
        .context("failed to read the outbox")?;
    let looked_at = Instant::now();
    if rows.len() < batch {
        position.found_all(looked_at);
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let (seqs, records): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|(seq, event)| (seq, (event.aggregate_type.topic(), event.into_record())))
        .unzip();
    let sent = producer.send_all(records);
    tokio::pin!(sent);
    loop {
        tokio::select! {
            biased;
            sent = &mut sent => break sent.context("failed to send to Kafka")?,
            () = tokio::time::sleep(lock.heartbeat()) => {
                let held = lock.still_held().await.context("lost the lock")?;
                if !held && guard::is_on(Guard::RelayElection) {
                    bail!("lost the lock");
                }
            }
        }
    }
    failpoint::pass(Step::Produced).await;
    let marked = seqs.as_slice();
    lock.run(async move |conn| outbox::mark_sent(conn, marked).await)
        .await
        .context("failed to mark events as sent")?;
    position.sent(&seqs, looked_at);
    failpoint::pass(Step::Marked).await;
    Ok(seqs.len())
}

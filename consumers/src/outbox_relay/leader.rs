//! What the leader does: read, send, mark.

use std::time::Duration;

use anyhow::{Context as _, bail};
use shop_core::bus::Producer;
use shop_core::db::lock::NamedLock;
use shop_core::db::outbox;
use shop_core::runtime::settings::OutboxSettings;
use shop_core::runtime::{Backoff, Shutdown};

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
) -> anyhow::Result<()> {
    while !shutdown.is_requested() {
        let last = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_BATCH).await;
        };
        let sent = tokio::select! {
            sent = relay_once(&mut lock, producer, settings.batch) => sent?,
            () = last => bail!("Kafka did not acknowledge the last batch within {LAST_BATCH:?}"),
        };
        backoff.reset();
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

/// One step: reads the oldest unsent events, sends them, and marks them when Kafka has acknowledged them all. Returns how many
/// these were.
///
/// While it waits for Kafka it keeps the lock alive.
///
/// # Errors
/// If the lock is lost, a statement failed, or Kafka does not take a record. Nothing is marked then, some may have been sent:
/// purge the producer, and do not use the lock again.
pub async fn relay_once(
    lock: &mut NamedLock,
    producer: &Producer,
    batch: usize,
) -> anyhow::Result<usize> {
    let rows = lock
        .run(async move |conn| outbox::unsent(conn, batch).await)
        .await
        .context("failed to read the outbox")?;
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
                if !lock.still_held().await.context("lost the lock")? {
                    bail!("lost the lock");
                }
            }
        }
    }
    let marked = seqs.as_slice();
    lock.run(async move |conn| outbox::mark_sent(conn, marked).await)
        .await
        .context("failed to mark events as sent")?;
    Ok(seqs.len())
}

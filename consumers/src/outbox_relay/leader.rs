//! What the leader does: read, send, mark.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use shop_core::bus::Producer;
use shop_core::db::lock::NamedLock;
use shop_core::db::outbox::{self, Unsent};
use shop_core::runtime::failpoint::{self, Step};
use shop_core::runtime::guard::{self, Guard};
use shop_core::runtime::metrics::OUTBOX_SENT;
use shop_core::runtime::settings::OutboxSettings;
use shop_core::runtime::{Backoff, Shutdown};
use tokio::sync::watch;

use super::outlook::Outlook;
use super::position::Position;

/// How long a batch on its way may take once shutdown is requested.
const LAST_BATCH: Duration = Duration::from_secs(3);

/// Events that the first look of a term may find.
const FIRST_LOOK: usize = 64;

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
    let mut most = settings.batch.min(FIRST_LOOK);
    while !shutdown.is_requested() {
        let last = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_BATCH).await;
        };
        let sent = tokio::select! {
            sent = relay_step(&mut lock, producer, &mut outlook.position, most) => sent?,
            () = last => bail!("Kafka did not acknowledge the last batch within {LAST_BATCH:?}"),
        };
        backoff.reset();
        outlook.sweep(&mut lock).await?;
        where_unsent.send_replace(outlook.position.ranges());
        most = next_look(&sent, settings.batch);
        if !sent.there_is_more {
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

/// How many events the next look may find. MySQL reads a payload whole to tell how long it is, so where few events fill the
/// bytes of a look, the next one does not ask for many times as many.
fn next_look(sent: &Sent, batch: usize) -> usize {
    if sent.there_is_more {
        (2 * sent.events).clamp(1, batch)
    } else {
        batch
    }
}

/// What a step has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many events.
    pub events: usize,
    /// Whether more may wait, so that the next look need not.
    pub there_is_more: bool,
}

/// [`relay_step`] of a leader that knows nothing yet: whatever is unsent is found. Returns how many events were sent.
///
/// # Errors
/// See [`relay_step`].
pub async fn relay_once(
    lock: &mut NamedLock,
    producer: &Producer,
    batch: usize,
) -> anyhow::Result<usize> {
    let sent = relay_step(lock, producer, &mut Position::unknown(), batch).await?;
    Ok(sent.events)
}

/// One step: reads the oldest unsent events that the position allows, sends them, and marks them when Kafka has acknowledged them
/// all, and notes them in the position.
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
) -> anyhow::Result<Sent> {
    let ranges = position.ranges();
    let among = ranges.as_slice();
    let Unsent {
        events,
        there_is_more,
    } = lock
        .run(async move |conn| outbox::unsent_among(conn, among, batch).await)
        .await
        .context("failed to read the outbox")?;
    let looked_at = Instant::now();
    if !there_is_more {
        position.found_all(looked_at);
    }
    let sent = Sent {
        events: events.len(),
        there_is_more,
    };
    if events.is_empty() {
        return Ok(sent);
    }
    let (seqs, records): (Vec<_>, Vec<_>) = events
        .into_iter()
        .map(|(seq, event)| (seq, (event.aggregate_type.topic(), event.into_record())))
        .unzip();
    let sending = producer.send_all(records);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            biased;
            acknowledged = &mut sending => break acknowledged.context("failed to send to Kafka")?,
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
    metrics::counter!(OUTBOX_SENT).increment(u64::try_from(seqs.len()).unwrap_or(u64::MAX));
    failpoint::pass(Step::Marked).await;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_was_full_of_bytes_is_followed_by_a_smaller_one_and_small_ones_grow() {
        let look = |events, there_is_more| {
            let sent = Sent {
                events,
                there_is_more,
            };
            next_look(&sent, 1_000)
        };
        assert_eq!(look(16, true), 32);
        assert_eq!(look(64, true), 128);
        assert_eq!(look(1_000, true), 1_000);
        assert_eq!(look(0, true), 1, "what it found was taken away");
        assert_eq!((look(0, false), look(7, false)), (1_000, 1_000));
    }
}

//! One member of a role's group: polls, has the role handle what came, stores offsets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::partition_count;
use super::group::{self, Member};
use super::holds::Holds;
use super::positions::Positions;
use super::record::{self, Record};
use super::settle::{Cause, Settled, Sorted, sort};
use super::{HandleError, Outcome, Ping, Role, ping};
use crate::events::TopicNames;
use crate::runtime::Shutdown;
use crate::runtime::metrics::KAFKA_MESSAGE_PROCESSING_TIME;
use crate::runtime::settings::Settings;

/// A batch holds no more bytes of values than this and one record.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A store that is left alone for this long does not come back by itself: somebody must look.
const LOOK_AT_IT: Duration = Duration::from_secs(20);
/// How long the last commit may take.
const COMMIT_BOUND: Duration = Duration::from_secs(3);

/// One member of the group.
pub(super) struct Worker<R> {
    role: Arc<R>,
    consumer: Arc<Member>,
    positions: Positions,
    names: TopicNames,
    instance: String,
    batch: usize,
    /// The age at which a batch is not handled any more.
    stale: Duration,
    holds: Holds,
}

/// What one turn of the loop has polled.
struct Batch {
    records: Vec<Record>,
    polled_at: Instant,
}

impl<R: Role> Worker<R> {
    /// A member that has subscribed. Connects in the background.
    pub(super) fn new(role: Arc<R>, settings: &Settings, worker: usize) -> anyhow::Result<Self> {
        let name = role.name();
        let consumer = group::member(settings, name, worker)
            .with_context(|| format!("failed to make the consumer of {name}"))?;
        let names = settings.kafka.topics.clone();
        let topics: Vec<_> = role
            .topics()
            .iter()
            .map(|topic| names.name(*topic))
            .collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .with_context(|| format!("failed to subscribe {name}"))?;
        let consumer = Arc::new(consumer);
        Ok(Self {
            role,
            positions: Positions::new(Arc::clone(&consumer), names.clone()),
            consumer,
            names,
            instance: group::instance_id(settings, name, worker),
            batch: settings.consumer.batch.max(1),
            stale: settings.consumer.session_timeout / 2,
            holds: Holds::default(),
        })
    }

    /// A question to the broker on this member's connection.
    pub(super) fn pinger(&self) -> Ping {
        let consumer = Arc::downgrade(&self.consumer);
        let topic = self
            .role
            .topics()
            .first()
            .map(|topic| self.names.name(*topic));
        let topic = topic.unwrap_or_default();
        Ping::new(move || {
            let consumer = consumer.upgrade()?;
            Some(partition_count(consumer.client(), &topic, ping::BOUND).map(|_| ()))
        })
    }

    /// Works until it is told to stop, then closes.
    ///
    /// # Errors
    /// What the client can not get over by itself.
    pub(super) async fn run(mut self, stop: Shutdown) -> anyhow::Result<()> {
        let result = loop {
            let due = self.holds.next_due();
            let batch = tokio::select! {
                biased;
                () = stop.requested() => break Ok(()),
                () = until(due) => {
                    self.read_held_again().await;
                    continue;
                }
                batch = self.poll() => batch,
            };
            match batch {
                Ok(batch) => self.work(batch).await,
                Err(error) => break Err(error),
            }
            self.positions.pause(&self.holds.take_fresh());
        };
        self.close().await;
        result
    }

    /// Waits for a record, then takes what is there at once. Safe to drop: until the first record is there, nothing is taken.
    async fn poll(&mut self) -> anyhow::Result<Batch> {
        let mut batch = Batch {
            records: Vec::new(),
            polled_at: Instant::now(),
        };
        let mut bytes = 0;
        let consumer = Arc::clone(&self.consumer);
        let mut polled = Some(consumer.recv().await);
        batch.polled_at = Instant::now();
        while let Some(message) = polled {
            self.let_go_of_lost(&mut batch);
            match message {
                Ok(message) => {
                    if let Some(record) = record::read(&self.names, &message)
                        && self.holds.admit(record.source, batch.polled_at)
                    {
                        bytes += record.bytes;
                        batch.records.push(record);
                    }
                }
                Err(error) => self.complain(&error)?,
            }
            if batch.records.len() >= self.batch || bytes >= BATCH_BYTES {
                break;
            }
            polled = consumer.recv().now_or_never();
        }
        self.let_go_of_lost(&mut batch);
        Ok(batch)
    }

    /// Drops what belongs to partitions that went away: whoever has them now reads it again.
    fn let_go_of_lost(&mut self, batch: &mut Batch) {
        for partition in self.consumer.context().take_lost() {
            self.holds.forget(partition);
            batch
                .records
                .retain(|one| (one.source.topic, one.source.partition) != partition);
        }
    }

    /// Handles a batch and stores its offsets.
    async fn work(&mut self, batch: Batch) {
        if batch.records.is_empty() {
            return;
        }
        let sorted = sort(batch.records);
        let now = Instant::now();
        if now.duration_since(batch.polled_at) > self.stale {
            tracing::warn!(
                role = self.role.name(),
                "dropped a batch unhandled, since this process was paused; it is read again"
            );
            for (partition, first) in sorted.firsts() {
                self.holds.read_again(partition, first, now);
            }
            return;
        }
        match self.handle(&sorted).await {
            Ok(outcomes) => {
                if self.holds.store_answers() {
                    tracing::info!(role = self.role.name(), "the store answers again");
                }
                let settled = sorted.settle(outcomes);
                self.go_on(&settled);
                record_metrics(&settled, batch.polled_at.elapsed());
                self.hold_failed(settled);
            }
            Err(error) => {
                let wait = self.holds.store_is_away(sorted.firsts(), Instant::now());
                for envelope in &sorted.envelopes {
                    group::count_failed(envelope.source.topic, 1);
                }
                let (role, count) = (self.role.name(), sorted.envelopes.len());
                if wait < LOOK_AT_IT {
                    tracing::warn!(
                        role,
                        "failed to handle {count} records, trying again in {wait:.1?}: {error:#}"
                    );
                } else {
                    tracing::error!(
                        role,
                        "failed to handle {count} records, trying again in {wait:.1?}: {error:#}"
                    );
                }
            }
        }
    }

    async fn handle(&self, sorted: &Sorted) -> anyhow::Result<Vec<Outcome>> {
        let envelopes = &sorted.envelopes;
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self
            .role
            .handle(envelopes)
            .await
            .map_err(HandleError::into_inner)?;
        if outcomes.len() != envelopes.len() {
            bail!(
                "{} outcomes for {} records",
                outcomes.len(),
                envelopes.len()
            );
        }
        Ok(outcomes)
    }

    /// Stores where each partition goes on.
    fn go_on(&mut self, settled: &Settled) {
        for (&partition, &next) in &settled.next {
            self.holds.handled(partition, next);
        }
        self.positions.store(
            settled
                .next
                .iter()
                .map(|(&partition, &next)| (partition, next)),
        );
    }

    fn hold_failed(&mut self, settled: Settled) {
        for (partition, failure) in settled.failed {
            let wait = self
                .holds
                .record_failed(partition, failure.offset, Instant::now());
            group::count_failed(partition.0, 1);
            let ((topic, partition), offset) = (partition, failure.offset);
            let topic = topic.as_str();
            match failure.cause {
                Cause::Poison(error) => tracing::error!(
                    topic,
                    partition,
                    offset,
                    "stopped at a record that can not be read, topic {topic} partition {partition} offset {offset}, \
                     trying again in {wait:.1?}: {error}"
                ),
                Cause::Retry(cause) => tracing::warn!(
                    topic,
                    partition,
                    offset,
                    "failed to handle a record, topic {topic} partition {partition} offset {offset}, \
                     trying again in {wait:.1?}: {cause}"
                ),
            }
        }
    }

    /// Reads the partitions whose time has come again, from where they are held.
    async fn read_held_again(&mut self) {
        let due = self.holds.due(Instant::now());
        let flowing = self.positions.read_again(&due).await;
        for (partition, _) in due {
            if flowing.contains(&partition) {
                self.holds.release(partition);
            } else {
                self.holds.postpone(partition, Instant::now());
            }
        }
    }

    /// What the client reports is logged; only what it can not get over by itself ends the worker.
    fn complain(&self, error: &KafkaError) -> anyhow::Result<()> {
        let role = self.role.name();
        let fatal = self.consumer.client().fatal_error();
        match (error.rdkafka_error_code(), fatal) {
            (Some(RDKafkaErrorCode::FencedInstanceId), _)
            | (_, Some((RDKafkaErrorCode::FencedInstanceId, _))) => bail!(
                "another process is member {} of the group: give each copy of {role} a CONSUMER_SLOT of its own",
                self.instance
            ),
            (_, Some((code, reason))) => {
                bail!("the Kafka consumer of {role} can not go on: {code}: {reason}")
            }
            _ => tracing::warn!(role, "waiting for Kafka: {error}"),
        }
        Ok(())
    }

    /// Commits what is stored and closes. A static member stays in its group until its session times out, so a quick restart
    /// finds its partitions as they were.
    async fn close(self) {
        let consumer = Arc::clone(&self.consumer);
        let commit =
            tokio::task::spawn_blocking(move || consumer.commit_consumer_state(CommitMode::Sync));
        match tokio::time::timeout(COMMIT_BOUND, commit).await {
            Ok(Ok(Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)))) => {}
            Ok(Ok(Err(error))) => tracing::warn!("failed to commit: {error}"),
            Ok(Err(error)) => tracing::warn!("failed to commit: {error}"),
            Err(_) => tracing::warn!("failed to commit within {COMMIT_BOUND:?}"),
        }
        group::close(self.consumer).await;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn record_metrics(settled: &Settled, took: Duration) {
    for source in &settled.skipped {
        group::count_skipped(source.topic);
    }
    for source in &settled.done {
        group::count_done(source.topic, 1);
        let topic = source.topic.as_str();
        metrics::histogram!(KAFKA_MESSAGE_PROCESSING_TIME, "topic" => topic).record(took);
    }
}

#[cfg(test)]
mod tests;

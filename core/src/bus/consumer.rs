//! The loop that every consumer runs: poll a batch, handle it as one, then store its offsets.
//!
//! Alone knows offsets, back-off and shutdown. What it promises to a [`Role`]:
//! - At least once: an offset is stored only after the record before it was handled, and no offset passes a record that failed.
//! - In order: records of a partition come in the order of the log, one batch at a time.
//! - The store is away ([`HandleError`](super::HandleError)): nothing of the batch counts, and after 1, 2, 4, 8, 16 s, then every 30 s, the same records come again.
//!   Meanwhile the consumer stays in its group.
//! - A record fails ([`Outcome::Retry`], or it is no event): its partition waits in the same steps, from that record; other
//!   partitions flow. Nothing is skipped.
//! - A crash between effect and commit, or a rebalance, brings records again: the role's effects must bear it.
//! - A batch that is older than half the session time-out when its turn comes is dropped unhandled and read again: this process was paused,
//!   and another one may have the partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use futures::FutureExt as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task::JoinSet;

use super::client::partition_count;
use super::group::{self, Member};
use super::holds::{Holds, Partition};
use super::record::{self, Record};
use super::settle::{Cause, Settled, Sorted, sort};
use super::{Outcome, Ping, Role, ping};
use crate::events::TopicNames;
use crate::runtime::metrics::KAFKA_MESSAGE_PROCESSING_TIME;
use crate::runtime::settings::Settings;
use crate::runtime::{Health, Shutdown};

/// A batch holds no more bytes of values than this and one record.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long setting partitions back may take.
const SEEK_BOUND: Duration = Duration::from_secs(5);
/// How long the last commit may take.
const COMMIT_BOUND: Duration = Duration::from_secs(3);

/// Runs a role until shutdown is requested: as many workers as the settings say, each a member of the role's group.
///
/// Connects in the background, so it starts while Kafka is away. Ends with `Ok` after every worker has finished its batch,
/// stored its offsets and closed.
///
/// # Errors
/// If the settings are not accepted, if another process uses the same `CONSUMER_SLOT`, or if the role panicked. What comes and
/// goes by itself is no error here.
pub async fn consume<R: Role>(
    role: Arc<R>,
    settings: &Settings,
    shutdown: Shutdown,
    health: Option<&Health>,
) -> anyhow::Result<()> {
    let stop = shutdown.child();
    let mut workers = JoinSet::new();
    for worker in 0..settings.consumer.workers.max(1) {
        let worker = Worker::new(Arc::clone(&role), settings, worker)?;
        if let (Some(health), 1) = (health, workers.len() + 1) {
            let ping = worker.pinger(settings);
            health.register("kafka", move || {
                let ping = ping.clone();
                async move { ping.probe().await }
            });
        }
        workers.spawn(worker.run(stop.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|panic| {
            Err(anyhow!(panic).context(format!("a worker of {} ended early", role.name())))
        });
        // One that can not go on takes the others with it, and the program with them.
        stop.request();
        result = result.and(ended);
    }
    result
}

/// One member of the group.
struct Worker<R> {
    role: Arc<R>,
    consumer: Arc<Member>,
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
    fn new(role: Arc<R>, settings: &Settings, worker: usize) -> anyhow::Result<Self> {
        let name = role.name();
        let consumer = group::member(settings, name, worker)
            .with_context(|| format!("failed to make the consumer of {name}"))?;
        let names = settings.kafka.topics.clone();
        let topics: Vec<_> = role.topics().iter().map(|topic| names.name(*topic)).collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).with_context(|| format!("failed to subscribe {name}"))?;
        Ok(Self {
            role,
            consumer: Arc::new(consumer),
            names,
            instance: group::instance_id(settings, name, worker),
            batch: settings.consumer.batch.max(1),
            stale: settings.consumer.session_timeout / 2,
            holds: Holds::default(),
        })
    }

    fn pinger(&self, settings: &Settings) -> Ping {
        let consumer = Arc::downgrade(&self.consumer);
        let topics = self.role.topics().iter().map(|topic| settings.kafka.topics.name(*topic));
        let first = topics.into_iter().next().unwrap_or_default();
        Ping::new(move || {
            let consumer = consumer.upgrade()?;
            Some(partition_count(consumer.client(), &first, ping::BOUND).map(|_| ()))
        })
    }

    async fn run(mut self, stop: Shutdown) -> anyhow::Result<()> {
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
            self.pause_held();
        };
        self.close().await;
        result
    }

    /// Waits for a record, then takes what is there at once. Safe to drop: until the first record is there, nothing is taken.
    async fn poll(&mut self) -> anyhow::Result<Batch> {
        let mut batch = Batch { records: Vec::new(), polled_at: Instant::now() };
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
            batch.records.retain(|one| (one.source.topic, one.source.partition) != partition);
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
                self.store_offsets(&settled);
                record_metrics(&settled, batch.polled_at.elapsed());
                self.hold_failed(settled);
            }
            Err(error) => {
                let wait = self.holds.store_is_away(sorted.firsts(), Instant::now());
                for envelope in &sorted.envelopes {
                    group::count_failed(envelope.source.topic, 1);
                }
                tracing::warn!(
                    role = self.role.name(),
                    "failed to handle {} records, trying again in {wait:.1?}: {error:#}",
                    sorted.envelopes.len()
                );
            }
        }
    }

    async fn handle(&self, sorted: &Sorted) -> anyhow::Result<Vec<Outcome>> {
        let envelopes = &sorted.envelopes;
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.role.handle(envelopes).await.map_err(super::HandleError::into_inner)?;
        if outcomes.len() != envelopes.len() {
            bail!("{} outcomes for {} records", outcomes.len(), envelopes.len());
        }
        Ok(outcomes)
    }

    /// Stores where each partition goes on. Takes offsets as they are, unlike the client's `store_offset`, which adds one.
    fn store_offsets(&mut self, settled: &Settled) {
        let mut list = TopicPartitionList::with_capacity(settled.next.len());
        for (&(topic, partition), &next) in &settled.next {
            self.holds.handled((topic, partition), next);
            self.add(&mut list, (topic, partition), next);
        }
        if list.count() == 0 {
            return;
        }
        // Of partitions that are not ours any more nothing is stored: whoever has them handles the records again.
        match self.consumer.store_offsets(&list) {
            Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
            Err(error) => tracing::warn!("failed to store offsets: {error}"),
        }
    }

    fn hold_failed(&mut self, settled: Settled) {
        for (partition, failure) in settled.failed {
            let wait = self.holds.record_failed(partition, failure.offset, Instant::now());
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

    /// Stops fetching what is held. If that fails its records are polled and dropped, which is the same, only dearer.
    fn pause_held(&mut self) {
        let fresh = self.holds.take_fresh();
        if fresh.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.pause(&self.list(&fresh)) {
            tracing::warn!("failed to pause partitions: {error}");
        }
    }

    /// Sets the partitions whose time has come back to where they are held, and lets them flow. One that can not be set back
    /// stays held: letting it flow would pass over records.
    async fn read_held_again(&mut self) {
        let due = self.holds.due(Instant::now());
        let mut list = TopicPartitionList::with_capacity(due.len());
        for &(partition, from) in &due {
            self.add(&mut list, partition, from);
        }
        let consumer = Arc::clone(&self.consumer);
        let sought =
            tokio::task::spawn_blocking(move || consumer.seek_partitions(list, SEEK_BOUND)).await;
        let mut flowing = Vec::new();
        match sought {
            Ok(Ok(list)) => {
                for one in list.elements() {
                    let Some(topic) = self.names.topic(one.topic()) else { continue };
                    match one.error() {
                        Ok(()) => flowing.push((topic, one.partition())),
                        Err(error) => {
                            tracing::debug!("not set back yet: {topic}/{}: {error}", one.partition());
                        }
                    }
                }
            }
            Ok(Err(error)) => tracing::warn!("failed to set partitions back: {error}"),
            Err(error) => tracing::warn!("failed to set partitions back: {error}"),
        }
        for &(partition, _) in &due {
            if flowing.contains(&partition) {
                self.holds.release(partition);
            } else {
                self.holds.postpone(partition, Instant::now());
            }
        }
        if let Err(error) = self.consumer.resume(&self.list(&flowing)) {
            tracing::warn!("failed to resume partitions: {error}");
        }
    }

    fn add(&self, list: &mut TopicPartitionList, (topic, partition): Partition, offset: i64) {
        let name = self.names.name(topic);
        if let Err(error) = list.add_partition_offset(&name, partition, Offset::Offset(offset)) {
            tracing::error!("offset {offset} of topic {topic} partition {partition}: {error}");
        }
    }

    fn list(&self, partitions: &[Partition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(&self.names.name(*topic), *partition);
        }
        list
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
        let commit = tokio::task::spawn_blocking(move || consumer.commit_consumer_state(CommitMode::Sync));
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
    for source in &settled.done {
        group::count_done(source.topic, 1);
        let topic = source.topic.as_str();
        metrics::histogram!(KAFKA_MESSAGE_PROCESSING_TIME, "topic" => topic).record(took);
    }
}

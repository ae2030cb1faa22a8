//! One member of a role's group: polls, has the role handle what came, parks what failed, stores offsets.

mod parked;
mod poll;
mod size;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::mpsc;

use self::poll::Batch;
use self::size::Size;
use super::client::partition_count;
use super::closing::close;
use super::dead_letter::{DeadLetters, Sent};
use super::group::{self, Member};
use super::holds::Holds;
use super::parking::{Lane, Lot, Retry};
use super::positions::Positions;
use super::settle::{Done, Settled, sort};
use super::{Outcome, Partition, Ping, Role, ping};
use crate::db::Db;
use crate::events::{Envelope, Source, TopicNames};
use crate::runtime::Shutdown;
use crate::runtime::failpoint::{self, Step};
use crate::runtime::metrics::KAFKA_MESSAGE_PROCESSING_TIME;
use crate::runtime::settings::Settings;

/// A store that is left alone for this long does not come back by itself: somebody must look.
const LOOK_AT_IT: Duration = Duration::from_secs(20);
/// How long the last commit may take.
const COMMIT_BOUND: Duration = Duration::from_secs(3);

/// The group knows somebody else by this member's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "another process is member {instance} of the group: give each copy of {role} a CONSUMER_SLOT of its own"
)]
pub(super) struct Fenced {
    instance: String,
    role: &'static str,
    /// When this member saw last that the broker was away, if ever.
    pub(super) away: Option<Instant>,
}

/// One member of the group.
pub(super) struct Worker<R> {
    role: Arc<R>,
    consumer: Arc<Member>,
    positions: Positions,
    names: TopicNames,
    instance: String,
    size: Size,
    /// The age at which a batch is not handled any more.
    stale: Duration,
    holds: Holds,
    lot: Lot,
    letters: DeadLetters,
    /// What became of dead letters; taken when the work begins.
    sent: Option<mpsc::Receiver<Sent>>,
    /// When the broker was seen to be away last.
    away: Option<Instant>,
}

impl<R: Role> Worker<R> {
    /// A member that has subscribed. Connects in the background.
    pub(super) fn new(
        role: Arc<R>,
        db: Db,
        settings: &Settings,
        worker: usize,
    ) -> anyhow::Result<Self> {
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
        let instance = group::instance_id(settings, name, worker);
        let batch = settings.consumer.batch.max(1);
        let retry = Retry {
            first_wait: settings.consumer.retry_first_wait,
            max_elapsed: settings.consumer.retry_max_elapsed,
        };
        let lot = Lot::new(db, name, role.later_states_suffice(), retry, batch);
        let (letters, sent) = DeadLetters::new(&settings.kafka, &instance);
        Ok(Self {
            role,
            positions: Positions::new(Arc::clone(&consumer), names.clone()),
            consumer,
            names,
            instance,
            size: Size::of(batch),
            stale: settings.consumer.session_timeout / 2,
            holds: Holds::default(),
            lot,
            letters,
            sent: Some(sent),
            away: None,
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
        let consumer = Arc::clone(&self.consumer);
        let Some(mut sent) = self.sent.take() else {
            bail!("a worker runs once");
        };
        let result = loop {
            if stop.is_requested() {
                break Ok(());
            }
            let held = self.holds.next_due();
            let parked = self.next_parked();
            // In no order: what is parked must not keep the log waiting, nor the other way round.
            tokio::select! {
                () = stop.requested() => break Ok(()),
                () = until(held) => {
                    self.read_held_again().await;
                    continue;
                }
                () = until(parked) => self.work_on_parked().await,
                Some(sent) = sent.recv() => self.note_sent(sent).await,
                () = consumer.context().changed() => self.note_rebalance(&mut Vec::new()),
                batch = self.poll() => match batch {
                    Ok(batch) => self.work(batch).await,
                    Err(error) => break Err(error),
                },
            }
            self.positions.pause(&self.holds.take_fresh());
        };
        self.close().await;
        result
    }

    /// Handles a batch, parks what failed of it and stores its offsets.
    async fn work(&mut self, mut batch: Batch) {
        if !self.lot.unknown().is_empty() {
            self.learn_what_is_parked().await;
            let now = Instant::now();
            batch
                .records
                .retain(|record| self.holds.admit(record.source, now));
        }
        if batch.records.is_empty() {
            return;
        }
        let sorted = sort(batch.records, self.lot.ledger());
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
        match self.handle(&sorted.envelopes, &sorted.lanes()).await {
            Ok(outcomes) => {
                self.size.went_well();
                failpoint::pass_in(Step::Handled, self.role.name()).await;
                let mut settled = sorted.settle(outcomes);
                self.park(&mut settled).await;
                self.positions
                    .store(settled.next.iter().map(|(at, next)| (*at, *next)));
                record_metrics(&settled, batch.polled_at.elapsed());
                self.supersede(&settled).await;
            }
            Err(error) => {
                self.size.failed();
                self.store_is_away(&error, sorted.envelopes.len(), sorted.firsts());
                for envelope in &sorted.envelopes {
                    group::count_failed(envelope.source.topic, 1);
                }
            }
        }
    }

    fn store_is_away(
        &mut self,
        error: &anyhow::Error,
        count: usize,
        firsts: impl IntoIterator<Item = (Partition, i64)>,
    ) {
        let wait = self.holds.store_is_away(firsts, Instant::now());
        let role = self.role.name();
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

    /// Has the role handle a batch; one by one, if one of the records is to blame for its failure.
    ///
    /// # Errors
    /// If the store is away.
    async fn handle(
        &mut self,
        envelopes: &[Envelope],
        lanes: &[&Lane],
    ) -> anyhow::Result<Vec<Outcome>> {
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = match self.role.handle(envelopes).await {
            Ok(outcomes) => outcomes,
            Err(error) if error.is_of_a_record() => self.one_by_one(envelopes, lanes).await?,
            Err(error) => return Err(error.into_inner()),
        };
        if outcomes.len() != envelopes.len() {
            bail!(
                "{} outcomes for {} records",
                outcomes.len(),
                envelopes.len()
            );
        }
        if self.holds.store_answers() {
            tracing::info!(role = self.role.name(), "the store answers again");
        }
        Ok(outcomes)
    }

    /// Finds the records that can not be handled; what follows of their keys is left.
    async fn one_by_one(
        &self,
        envelopes: &[Envelope],
        lanes: &[&Lane],
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(envelopes.len());
        let mut closed = HashSet::new();
        for (envelope, lane) in envelopes.iter().zip(lanes) {
            if closed.contains(lane) {
                outcomes.push(Outcome::retry("an earlier record of its key failed"));
                continue;
            }
            let outcome = match self.role.handle(std::slice::from_ref(envelope)).await {
                Ok(mut outcome) => outcome
                    .pop()
                    .unwrap_or_else(|| Outcome::retry("the role gave no outcome")),
                Err(error) if error.is_of_a_record() => Outcome::retry(&error.into_inner()),
                Err(error) => return Err(error.into_inner()),
            };
            if matches!(outcome, Outcome::Retry(_)) && !self.role.later_states_suffice() {
                closed.insert(lane);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
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
    fn complain(&mut self, error: &KafkaError) -> anyhow::Result<()> {
        let role = self.role.name();
        let fatal = self.consumer.client().fatal_error();
        match (error.rdkafka_error_code(), fatal) {
            (Some(RDKafkaErrorCode::FencedInstanceId), _)
            | (_, Some((RDKafkaErrorCode::FencedInstanceId, _))) => {
                let (instance, away) = (self.instance.clone(), self.away);
                return Err(Fenced {
                    instance,
                    role,
                    away,
                }
                .into());
            }
            (_, Some((code, reason))) => {
                bail!("the Kafka consumer of {role} can not go on: {code}: {reason}")
            }
            _ => {
                self.away = Some(Instant::now());
                tracing::warn!(role, "waiting for Kafka: {error}");
            }
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
        let Self {
            consumer,
            positions,
            ..
        } = self;
        drop(positions); // the last one to hold the consumer closes it, and that blocks
        close(consumer).await;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn record_metrics(settled: &Settled, took: Duration) {
    for (source, how) in &settled.done {
        count_done(*source, *how);
        let topic = source.topic.as_str();
        metrics::histogram!(KAFKA_MESSAGE_PROCESSING_TIME, "topic" => topic).record(took);
    }
}

fn count_done(source: Source, how: Done) {
    group::count_done(source.topic, 1);
    match how {
        Done::Handled(outcome) => group::count_outcome(source.topic, outcome),
        Done::Skipped => {
            group::count_skipped(source.topic);
            group::count_outcome(source.topic, "skipped");
        }
    }
}

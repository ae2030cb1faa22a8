//! A member of a consumer group: its settings, what a rebalance and the statistics tell, and what it counts.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Notify;

use super::Partition;
use super::client::{consumer_config, log};
use crate::events::{Topic, TopicNames};
use crate::runtime::metrics::{
    DEAD_LETTERS, KAFKA_CONSUMER_LAG, KAFKA_MESSAGES_OUTCOMES, KAFKA_MESSAGES_PROCESSED,
    KAFKA_MESSAGES_SKIPPED, PARKED_RECORDS, STATUS_ERROR, STATUS_SUCCESS,
};
use crate::runtime::settings::Settings;

/// What can become of a record.
const OUTCOMES: [&str; 4] = ["applied", "duplicate", "refused", "skipped"];

/// The consumer of one member.
pub(super) type Member = StreamConsumer<Membership>;

/// The name of a member that keeps its partitions over a restart: `<prefix><role>-<slot>-<worker>`.
pub(super) fn instance_id(settings: &Settings, role: &str, worker: usize) -> String {
    let prefix = settings.kafka.topics.prefix();
    format!("{prefix}{role}-{}-{worker}", settings.consumer.slot)
}

/// A consumer that will be a member of the role's group.
pub(super) fn member(
    settings: &Settings,
    role: &'static str,
    worker: usize,
) -> KafkaResult<Member> {
    let session = settings.consumer.session_timeout;
    let instance = instance_id(settings, role, worker);
    let mut config: ClientConfig = consumer_config(&settings.kafka, &instance);
    config
        .set(
            "group.id",
            format!("{}{role}", settings.kafka.topics.prefix()),
        )
        .set("group.instance.id", &instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string())
        // How fast a member learns of a rebalance.
        .set(
            "heartbeat.interval.ms",
            (session.as_millis() / 8).clamp(100, 1000).to_string(),
        )
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        .set("statistics.interval.ms", "5000");
    config.create_with_context(Membership {
        role,
        names: settings.kafka.topics.clone(),
        changes: Mutex::default(),
        changed: Notify::new(),
    })
}

/// What the library tells a member. Its calls come on the task that polls, between two records.
pub(super) struct Membership {
    role: &'static str,
    names: TopicNames,
    changes: Mutex<Changes>,
    changed: Notify,
}

/// What a rebalance did.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Partitions that went away. Some of them may have come back.
    pub lost: Vec<Partition>,
    /// Partitions that came, and are still there.
    pub gained: Vec<Partition>,
}

impl Membership {
    /// What has changed since this was asked last.
    pub(super) fn take_changes(&self) -> Changes {
        mem::take(&mut *self.changes())
    }

    /// Waits until something has changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let elements = list.elements();
        elements
            .iter()
            .filter_map(|one| Some((self.names.topic(one.topic())?, one.partition())))
            .collect()
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            let Some(ours) = self.names.topic(name) else {
                continue;
            };
            for partition in topic.partitions.values() {
                // Negative: not known yet, or not ours.
                if let Ok(lag) = u32::try_from(partition.consumer_lag_stored) {
                    set_lag((ours, partition.partition), lag);
                }
            }
        }
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else {
            return;
        };
        let gone = self.partitions(list);
        tracing::debug!(role = self.role, "gave up {}", words(&gone));
        for partition in &gone {
            set_lag(*partition, 0);
        }
        let mut changes = self.changes();
        changes.gained.retain(|gained| !gone.contains(gained));
        changes.lost.extend(gone);
        self.changed.notify_one();
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let gained = self.partitions(list);
                tracing::debug!(role = self.role, "took over {}", words(&gained));
                self.changes().gained.extend(gained);
                self.changed.notify_one();
                // One that was paused when it went away must not come back paused.
                if let Err(error) = consumer.resume(list) {
                    tracing::warn!(role = self.role, "failed to resume partitions: {error}");
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => {
                tracing::warn!(role = self.role, "a rebalance failed: {error}");
            }
        }
    }
}

fn words(partitions: &[Partition]) -> String {
    let words: Vec<_> = partitions
        .iter()
        .map(|(topic, partition)| format!("{topic}/{partition}"))
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(" ")
    }
}

fn set_lag((topic, partition): Partition, lag: u32) {
    let partition = partition.to_string();
    metrics::gauge!(KAFKA_CONSUMER_LAG, "topic" => topic.as_str(), "partition" => partition)
        .set(f64::from(lag));
}

/// Counts records that are dealt with.
pub(super) fn count_done(topic: Topic, records: u64) {
    count(topic, STATUS_SUCCESS, records);
}

/// Counts what became of a record.
pub(super) fn count_outcome(topic: Topic, outcome: &'static str) {
    metrics::counter!(KAFKA_MESSAGES_OUTCOMES, "topic" => topic.as_str(), "outcome" => outcome)
        .increment(1);
}

/// Counts records that could not be handled.
pub(super) fn count_failed(topic: Topic, records: u64) {
    count(topic, STATUS_ERROR, records);
}

/// Counts a record that was passed over.
pub(super) fn count_skipped(topic: Topic) {
    metrics::counter!(KAFKA_MESSAGES_SKIPPED, "topic" => topic.as_str()).increment(1);
}

fn count(topic: Topic, status: &'static str, records: u64) {
    metrics::counter!(KAFKA_MESSAGES_PROCESSED, "topic" => topic.as_str(), "status" => status)
        .increment(records);
}

/// Makes the counters of what can not be handled appear.
pub(super) fn count_nothing_skipped(topic: Topic) {
    count_failed(topic, 0);
    metrics::counter!(KAFKA_MESSAGES_SKIPPED, "topic" => topic.as_str()).increment(0);
}

/// Makes the counters of a role appear before anything is counted, so that rates are right from the first record on.
pub(super) fn begin_counting(role: &'static str, topics: &[Topic]) {
    for topic in topics {
        let (topic, name) = (*topic, topic.as_str());
        count_done(topic, 0);
        count_nothing_skipped(topic);
        for outcome in OUTCOMES {
            metrics::counter!(KAFKA_MESSAGES_OUTCOMES, "topic" => name, "outcome" => outcome)
                .increment(0);
        }
        metrics::counter!(DEAD_LETTERS, "consumer" => role, "topic" => name).increment(0);
    }
    metrics::gauge!(PARKED_RECORDS, "consumer" => role).increment(0.0);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn counters_are_there_before_anything_is_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || begin_counting("saga", &[Topic::Stock]));
        let text = recorder.handle().render();
        for line in [
            r#"kafka_messages_processed_total{topic="stock",status="success"} 0"#,
            r#"kafka_messages_processed_total{topic="stock",status="error"} 0"#,
            r#"kafka_messages_outcomes_total{topic="stock",outcome="refused"} 0"#,
            r#"kafka_messages_skipped_total{topic="stock"} 0"#,
            r#"dead_letters_total{consumer="saga",topic="stock"} 0"#,
            r#"parked_records{consumer="saga"} 0"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in:\n{text}"
            );
        }
    }
}

//! What every client has in common: addresses, time-outs, and where the library's log lines go.

use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::runtime::settings::KafkaSettings;

/// The settings that every client has.
pub(super) fn config(settings: &KafkaSettings, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", client_id)
        // A broker that comes back is found within a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        // A topic that was missing is noticed after this long.
        .set("topic.metadata.refresh.interval.ms", "10000");
    config
}

/// The settings that every consumer has: little is fetched ahead, and nothing waits to be fetched.
pub(super) fn consumer_config(settings: &KafkaSettings, client_id: &str) -> ClientConfig {
    let mut config = config(settings, client_id);
    config
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false")
        // A waiting fetch is answered as soon as there is one byte; its end is also when a partition that was resumed or newly
        // assigned joins in, so it does not wait long.
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "50")
        // How long a partition with a full queue is left out: the default of a second would be a second's delay under load.
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "2000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.max.bytes", "8388608");
    config
}

/// Sends the library's log lines where ours go. It retries by itself whatever it complains about, so none is an error here.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // Remarks on the settings above, which are as they are on purpose.
        _ if facility == "CONFWARN" => {
            tracing::debug!(target: "librdkafka", "librdkafka {facility}: {message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", "librdkafka {facility}: {message}");
        }
        _ => tracing::debug!(target: "librdkafka", "librdkafka {facility}: {message}"),
    }
}

/// The number of partitions of a topic, as a broker tells it; blocks.
pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    within: Duration,
) -> KafkaResult<i32> {
    let metadata = client.fetch_metadata(Some(topic), within)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition,
        ));
    };
    match found.error() {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
    }
}

/// The first offset of a partition and the one after its last; blocks. A leader that changes, or is not ready right after the
/// topic was made, is asked again.
pub(super) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
    within: Duration,
) -> KafkaResult<(i64, i64)> {
    let started = Instant::now();
    loop {
        let left = within.saturating_sub(started.elapsed());
        match client.fetch_watermarks(topic, partition, left) {
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable,
            )) if !left.is_zero() => std::thread::sleep(Duration::from_millis(20)),
            answer => return answer,
        }
    }
}

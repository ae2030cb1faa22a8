//! What every client has in common: addresses, time-outs, and where the library's log lines go.

use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::runtime::settings::{KafkaSecurity, KafkaSettings, Tls};

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
    protect(&mut config, &settings.security);
    config
}

/// Says how brokers are spoken to, and as whom. The library checks that a certificate has the name that was asked for.
fn protect(config: &mut ClientConfig, security: &KafkaSecurity) {
    let protocol = match (&security.tls, &security.sasl) {
        (Tls::Off, None) => "PLAINTEXT",
        (Tls::Required { .. }, None) => "SSL",
        (Tls::Off, Some(_)) => "SASL_PLAINTEXT",
        (Tls::Required { .. }, Some(_)) => "SASL_SSL",
    };
    config.set("security.protocol", protocol);
    if let Tls::Required { ca: Some(file) } = &security.tls {
        config.set("ssl.ca.location", file.to_string_lossy());
    }
    if let Some(sasl) = &security.sasl {
        config
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", &sasl.password);
    }
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::runtime::Settings;
    use crate::runtime::settings::Sasl;

    fn settings(brokers: &str, security: KafkaSecurity) -> KafkaSettings {
        let settings = Settings::read(&|_| None).expect("the defaults are good");
        KafkaSettings {
            brokers: brokers.to_owned(),
            security,
            ..settings.kafka
        }
    }

    fn required() -> Tls {
        Tls::Required { ca: None }
    }

    #[test]
    fn what_is_set_reaches_every_client() {
        let sasl = Sasl {
            mechanism: "SCRAM-SHA-256",
            username: "shop".to_owned(),
            password: "hush".to_owned(),
        };
        for (tls, sasl, protocol) in [
            (Tls::Off, None, "PLAINTEXT"),
            (required(), None, "SSL"),
            (Tls::Off, Some(sasl.clone()), "SASL_PLAINTEXT"),
            (required(), Some(sasl), "SASL_SSL"),
        ] {
            let is_user = sasl.is_some();
            let config = consumer_config(&settings("h:1", KafkaSecurity { tls, sasl }), "test");
            assert_eq!(config.get("security.protocol"), Some(protocol));
            assert_eq!(
                config.get("sasl.mechanism"),
                is_user.then_some("SCRAM-SHA-256")
            );
            assert_eq!(config.get("sasl.username"), is_user.then_some("shop"));
            assert_eq!(config.get("sasl.password"), is_user.then_some("hush"));
            let client: KafkaResult<BaseConsumer<Quiet>> = config.create_with_context(Quiet);
            assert!(client.is_ok(), "the library can not do {protocol}");
        }
        let ca = Some("/etc/shop/ca.pem".into());
        let tls = Tls::Required { ca };
        let config = config(&settings("h:1", KafkaSecurity { tls, sasl: None }), "test");
        assert_eq!(config.get("ssl.ca.location"), Some("/etc/shop/ca.pem"));
    }

    /// A broker that speaks plain text only is as good as away: nothing is said to it.
    #[test]
    fn a_client_that_wants_tls_does_without_a_broker_that_has_none() {
        let cluster = MockCluster::new(1).expect("a broker");
        let brokers = cluster.bootstrap_servers();
        let metadata = |security| {
            let config = consumer_config(&settings(&brokers, security), "test");
            let client: BaseConsumer<Quiet> =
                config.create_with_context(Quiet).expect("a consumer");
            let begun = Instant::now();
            let answer = client.fetch_metadata(None, Duration::from_secs(2));
            (answer.is_ok(), begun.elapsed())
        };
        assert!(metadata(KafkaSecurity::default()).0);
        let tls = required();
        let (answered, took) = metadata(KafkaSecurity { tls, sasl: None });
        assert!(!answered && took < Duration::from_secs(5), "{took:?}");
    }
}

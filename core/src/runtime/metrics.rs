//! Every metric of every program: its name, kind and meaning, and the recorder behind `/metrics`.
//!
//! To add one: 1. a constant, 2. a row in [`ALL`], 3. if it is a histogram with unusual times, its buckets. Programs
//! record with the macros of crate `metrics` and these constants; without [`install`] that does nothing.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Counter, labels `topic` (without prefix) and `status` ([`STATUS_SUCCESS`] or [`STATUS_ERROR`]).
pub const KAFKA_MESSAGES_PROCESSED: &str = "kafka_messages_processed_total";
/// Histogram, label `topic` (without prefix).
pub const KAFKA_MESSAGE_PROCESSING_TIME: &str = "kafka_message_processing_time_seconds";
/// Counter, label `topic` (without prefix).
pub const KAFKA_MESSAGES_SKIPPED: &str = "kafka_messages_skipped_total";
/// Counter, labels `topic` (without prefix) and `outcome` (applied, duplicate, refused, skipped).
pub const KAFKA_MESSAGES_OUTCOMES: &str = "kafka_messages_outcomes_total";
/// Gauge, label `consumer`.
pub const PARKED_RECORDS: &str = "parked_records";
/// Counter, labels `consumer` and `topic` (without prefix).
pub const DEAD_LETTERS: &str = "dead_letters_total";
/// Gauge, labels `topic` (without prefix) and `partition`.
pub const KAFKA_CONSUMER_LAG: &str = "kafka_consumer_lag";
/// Gauge, no labels.
pub const OUTBOX_DEPTH: &str = "outbox_depth";
/// Gauge, no labels.
pub const OUTBOX_OLDEST_AGE: &str = "outbox_oldest_age_seconds";
/// Gauge, no labels: 0 or 1.
pub const OUTBOX_LEADER: &str = "outbox_leader";
/// Counter, no labels.
pub const OUTBOX_SENT: &str = "outbox_sent_total";
/// Counter, label `table`.
pub const PRUNED_ROWS: &str = "pruned_rows_total";
/// Histogram, labels `method`, `path` (the route, never the address asked for) and `status`.
pub const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
/// Counter, label `reason` (rate, overload, connections, sockets, slow).
pub const HTTP_REFUSED: &str = "http_refused_total";
/// Histogram, labels `type` (query, mutation, subscription) and `outcome`.
pub const GRAPHQL_REQUEST_DURATION: &str = "graphql_request_duration_seconds";
/// Gauge, label `state` (`in_use`, `idle`, `max`).
pub const MYSQL_POOL_CONNECTIONS: &str = "mysql_pool_connections";
/// Histogram, label `name` (of the transaction).
pub const MYSQL_TRANSACTION_DURATION: &str = "mysql_transaction_duration_seconds";
/// Counter, label `name` (of the transaction).
pub const MYSQL_TRANSACTION_RETRIES: &str = "mysql_transaction_retries_total";
/// Gauge, no labels.
pub const LIVE_SUBSCRIPTIONS: &str = "live_subscriptions";
/// Gauge, label `protocol`.
pub const LIVE_SOCKETS: &str = "live_sockets";
/// Gauge, label `state` (users, strangers, max).
pub const LIVE_PLACES: &str = "live_places";
/// Counter, labels `transport` and `reason`.
pub const LIVE_ENDINGS: &str = "live_endings_total";
/// Counter, no labels.
pub const LIVE_STATUS_RECORDS: &str = "live_status_records_total";
/// Counter, labels `stream` (the subscription's name) and `kind` (of `UpdateKind`).
pub const LIVE_ITEMS: &str = "live_items_total";
/// Counter, label `reason`.
pub const TOKENS_DENIED: &str = "tokens_denied_total";

/// Label `status` of [`KAFKA_MESSAGES_PROCESSED`]: the record is dealt with.
pub const STATUS_SUCCESS: &str = "success";
/// Label `status` of [`KAFKA_MESSAGES_PROCESSED`]: the record could not be handled.
pub const STATUS_ERROR: &str = "error";

/// What a metric does with the numbers it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// The latest.
    Gauge,
    /// How many fell into which bucket; in seconds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it does with numbers.
    pub kind: Kind,
    /// What it says, for `# HELP`.
    pub help: &'static str,
}

/// 1 ms, doubling up to 16.384 s.
const DOUBLING: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384,
];
/// A request's or transaction's time, up to the longest deadline.
const REQUEST: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// All of them.
#[rustfmt::skip]
pub const ALL: &[Metric] = &[
    Metric { name: KAFKA_MESSAGES_PROCESSED, kind: Kind::Counter, help: "Records dealt with, by topic and status (success or error)" },
    Metric { name: KAFKA_MESSAGE_PROCESSING_TIME, kind: Kind::Histogram(DOUBLING), help: "Time from a record in hand to its effect committed, in seconds" },
    Metric { name: KAFKA_MESSAGES_SKIPPED, kind: Kind::Counter, help: "Records passed over: of a kind that this version does not know, or unreadable in a live feed" },
    Metric { name: KAFKA_MESSAGES_OUTCOMES, kind: Kind::Counter, help: "Records that a consumer is done with, by topic and outcome (applied, duplicate, refused, skipped); a parked one counts when it is done" },
    Metric { name: PARKED_RECORDS, kind: Kind::Gauge, help: "Records of this consumer's partitions that failed, and what waits behind them" },
    Metric { name: DEAD_LETTERS, kind: Kind::Counter, help: "Records that were given up and sent to the dead letters, by consumer and topic" },
    Metric { name: KAFKA_CONSUMER_LAG, kind: Kind::Gauge, help: "Records of a partition that this consumer has yet to handle" },
    Metric { name: OUTBOX_DEPTH, kind: Kind::Gauge, help: "Events written and not yet sent to Kafka" },
    Metric { name: OUTBOX_OLDEST_AGE, kind: Kind::Gauge, help: "Age of the oldest event not yet sent, in seconds; 0 when all are sent" },
    Metric { name: OUTBOX_LEADER, kind: Kind::Gauge, help: "1 if this relay is the one that sends, 0 if it stands by" },
    Metric { name: OUTBOX_SENT, kind: Kind::Counter, help: "Events that Kafka has acknowledged and that are marked as sent" },
    Metric { name: PRUNED_ROWS, kind: Kind::Counter, help: "Rows deleted because of their age, by table" },
    Metric { name: HTTP_REQUEST_DURATION, kind: Kind::Histogram(REQUEST), help: "Time to answer an HTTP request, in seconds" },
    Metric { name: HTTP_REFUSED, kind: Kind::Counter, help: "Connections and operations turned away, by reason (rate, overload, connections, sockets, slow)" },
    Metric { name: GRAPHQL_REQUEST_DURATION, kind: Kind::Histogram(REQUEST), help: "Time to execute a GraphQL request, in seconds" },
    Metric { name: MYSQL_POOL_CONNECTIONS, kind: Kind::Gauge, help: "Connections of the MySQL pool, by state (in_use, idle, max)" },
    Metric { name: MYSQL_TRANSACTION_DURATION, kind: Kind::Histogram(REQUEST), help: "Time of a MySQL transaction with its retries, in seconds" },
    Metric { name: MYSQL_TRANSACTION_RETRIES, kind: Kind::Counter, help: "MySQL transactions begun again after a deadlock or lock time-out" },
    Metric { name: LIVE_SUBSCRIPTIONS, kind: Kind::Gauge, help: "Subscriptions that are open" },
    Metric { name: LIVE_SOCKETS, kind: Kind::Gauge, help: "WebSockets that are open, by protocol" },
    Metric { name: LIVE_PLACES, kind: Kind::Gauge, help: "Places of WebSockets and event streams, by state: taken by users, taken by strangers who have not said who they are, and max, which is SOCKETS" },
    Metric { name: LIVE_ENDINGS, kind: Kind::Counter, help: "Sockets and event streams that ended, by transport and the reason that the client was given" },
    Metric { name: LIVE_STATUS_RECORDS, kind: Kind::Counter, help: "Status records read for subscribers" },
    Metric { name: LIVE_ITEMS, kind: Kind::Counter, help: "Items told to subscribers, by stream and kind (SNAPSHOT, MISSED, LIVE, RESYNC, ...)" },
    Metric { name: TOKENS_DENIED, kind: Kind::Counter, help: "Tokens that were not taken, by reason" },
];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Makes this process record its metrics. Doing it twice is the same as once; another recorder that was there first stays.
pub fn install() {
    handle();
}

/// All metrics in Prometheus' text format. What histograms gathered since the last call is folded into buckets first.
pub fn render() -> String {
    handle().render()
}

/// Folds what histograms gathered into buckets. [`main`](super::main) does it every few seconds, so that memory stays bounded when
/// nobody reads `/metrics`.
pub fn upkeep() {
    handle().run_upkeep();
}

fn handle() -> &'static PrometheusHandle {
    HANDLE.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics stays empty");
        }
        describe();
        handle
    })
}

fn builder() -> PrometheusBuilder {
    ALL.iter()
        .fold(PrometheusBuilder::new(), |builder, metric| {
            let Kind::Histogram(buckets) = metric.kind else {
                return builder;
            };
            builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                .expect("no histogram has an empty list of buckets")
        })
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use metrics::{counter, gauge, histogram, with_local_recorder};

    use super::*;

    #[test]
    fn every_metric_is_listed_once_under_a_name_with_its_unit() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is listed twice");
        for metric in ALL {
            let suffix = match metric.kind {
                Kind::Counter => "_total",
                Kind::Gauge => "",
                Kind::Histogram(_) => "_seconds",
            };
            assert!(
                metric.name.ends_with(suffix),
                "{} does not end with {suffix}",
                metric.name
            );
        }
    }

    #[test]
    fn buckets_rise_and_those_of_messages_double_from_a_millisecond() {
        for metric in ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(
                    buckets.is_sorted_by(|a, b| a < b),
                    "buckets of {} do not rise",
                    metric.name
                );
            }
        }
        for (power, bucket) in (0..).zip(DOUBLING) {
            let expected = 0.001 * 2_f64.powi(power);
            assert!(
                (bucket - expected).abs() < 1e-9,
                "bucket {power} is {bucket}"
            );
        }
    }

    #[test]
    fn what_is_recorded_is_rendered_in_prometheus_text() {
        let recorder = builder().build_recorder();
        with_local_recorder(&recorder, || {
            describe();
            counter!(KAFKA_MESSAGES_PROCESSED, "topic" => "orders", "status" => STATUS_SUCCESS)
                .increment(2);
            gauge!(OUTBOX_DEPTH).set(7);
            histogram!(KAFKA_MESSAGE_PROCESSING_TIME, "topic" => "orders").record(0.003);
        });
        let text = recorder.handle().render();
        for line in [
            "# TYPE kafka_messages_processed_total counter",
            r#"kafka_messages_processed_total{topic="orders",status="success"} 2"#,
            "outbox_depth 7",
            r#"kafka_message_processing_time_seconds_bucket{topic="orders",le="0.002"} 0"#,
            r#"kafka_message_processing_time_seconds_bucket{topic="orders",le="0.004"} 1"#,
            r#"kafka_message_processing_time_seconds_bucket{topic="orders",le="16.384"} 1"#,
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in:\n{text}"
            );
        }
    }

    #[test]
    fn installing_twice_is_the_same_as_once() {
        install();
        install();
        upkeep();
        let _ = render();
    }
}

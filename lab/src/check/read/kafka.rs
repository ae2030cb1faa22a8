//! Reads the topics from their beginning to where they end now.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message, OwnedHeaders};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use uuid::Uuid;

use super::events;
use crate::check::evidence::{Log, Record, TOPICS};
use crate::host::Deadline;

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the next record may take to come.
const BOUND: Duration = Duration::from_mins(1);
/// Before a broker is asked again that could not answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Reads every topic of a shop, but for records that are known to be no events.
///
/// # Errors
/// If the broker does not answer, or a record is no event.
pub fn read(
    brokers: &str,
    prefix: &str,
    poison: &BTreeSet<(&'static str, i32, i64)>,
) -> anyhow::Result<Log> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}check"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()?;
    let mut log = Log::new();
    let mut assignment = TopicPartitionList::new();
    // Where each partition ends, as long as it is not read so far.
    let mut unread: HashMap<(String, i32), i64> = HashMap::new();
    for topic in TOPICS {
        log.insert(topic, Vec::new());
        let name = format!("{prefix}{topic}");
        for partition in partitions(&consumer, &name)? {
            let (low, high) = ends(&consumer, &name, partition)?;
            if low > 0 {
                bail!("topic {name} has lost its first {low} records");
            }
            if high > low {
                assignment.add_partition_offset(&name, partition, Offset::Beginning)?;
                unread.insert((name.clone(), partition), high);
            }
        }
    }
    consumer.assign(&assignment)?;
    while !unread.is_empty() {
        let Some(message) = next(&consumer)? else {
            bail!("these partitions could not be read to their end: {unread:?}");
        };
        let place = (message.topic().to_owned(), message.partition());
        let Some(end) = unread.get(&place).copied() else {
            continue;
        };
        let topic = TOPICS
            .into_iter()
            .find(|topic| message.topic().strip_prefix(prefix) == Some(topic))
            .context("a record of another topic")?;
        let is_poison = poison.contains(&(topic, message.partition(), message.offset()));
        if message.offset() < end && !is_poison {
            let record = record(topic, &message).with_context(|| {
                format!(
                    "record {}:{} of topic {topic}",
                    message.partition(),
                    message.offset()
                )
            })?;
            log.entry(topic).or_default().push(record);
        }
        if message.offset() + 1 >= end {
            unread.remove(&place);
        }
    }
    for records in log.values_mut() {
        records.sort_by_key(|record| (record.partition, record.offset));
    }
    Ok(log)
}

/// Asks until the broker answers, for a bound: one that was paused or has just come back can not for a while. Blocks.
pub(super) fn patiently<T>(ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    patiently_for(BOUND, ask)
}

fn patiently_for<T>(bound: Duration, ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let deadline = Deadline::after(bound);
    loop {
        match ask() {
            Err(error) if passes(&error) && !deadline.passed() => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// Whether an error says that the broker, or what is known of it, is away or not yet what it was.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::NetworkException
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::LeaderNotAvailable
                // The library's own: it has not heard of a partition yet that the broker has named.
                | Code::UnknownPartition
                | Code::NotLeaderForPartition
        )
    )
}

/// The next record; `None` if none comes within the bound.
fn next(consumer: &BaseConsumer) -> KafkaResult<Option<BorrowedMessage<'_>>> {
    let mut deadline = None;
    loop {
        if let Some(message) = poll(consumer)? {
            return Ok(Some(message));
        }
        // Not for each record: it reads what the host withholds.
        if deadline
            .get_or_insert_with(|| Deadline::after(BOUND))
            .passed()
        {
            return Ok(None);
        }
    }
}

/// The next record, if one comes soon and the broker is there.
fn poll(consumer: &BaseConsumer) -> KafkaResult<Option<BorrowedMessage<'_>>> {
    match consumer.poll(PAUSE) {
        Some(Err(error)) if !passes(&error) => Err(error),
        polled => Ok(polled.and_then(Result::ok)),
    }
}

/// Where a partition begins and ends.
pub(super) fn ends(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
) -> KafkaResult<(i64, i64)> {
    patiently(|| consumer.fetch_watermarks(topic, partition, TIMEOUT))
}

pub(super) fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = patiently(|| consumer.fetch_metadata(Some(topic), TIMEOUT))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions: Vec<i32> = found
        .map(|found| {
            found
                .partitions()
                .iter()
                .map(rdkafka::metadata::MetadataPartition::id)
                .collect()
        })
        .unwrap_or_default();
    if partitions.is_empty() {
        bail!("topic {topic} does not exist");
    }
    Ok(partitions)
}

/// A record as it lies in its topic.
#[derive(Debug, Clone)]
pub struct RawRecord {
    /// Where.
    pub partition: i32,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: OwnedHeaders,
}

/// Reads one topic as it is, from its beginning to where it ends now, by partition and offset.
///
/// # Errors
/// If the broker does not answer.
pub fn read_raw(brokers: &str, prefix: &str, topic: &str) -> anyhow::Result<Vec<RawRecord>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}copies"))
        .set("enable.auto.commit", "false")
        .create()?;
    let name = format!("{prefix}{topic}");
    let mut records = Vec::new();
    for partition in partitions(&consumer, &name)? {
        let (low, high) = ends(&consumer, &name, partition)?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&name, partition, Offset::Offset(low))?;
        consumer.assign(&assignment)?;
        let mut offset = low;
        while offset < high {
            let Some(message) = next(&consumer)? else {
                bail!("partition {partition} of {name} could not be read to its end");
            };
            offset = message.offset() + 1;
            let headers = message.headers();
            records.push(RawRecord {
                partition,
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers.map_or_else(OwnedHeaders::new, BorrowedHeaders::detach),
            });
        }
    }
    Ok(records)
}

fn record(topic: &'static str, message: &BorrowedMessage<'_>) -> anyhow::Result<Record> {
    let header = |name: &str| -> anyhow::Result<&str> {
        let headers = message.headers().context("has no headers")?;
        let found = headers.iter().find(|header| header.key == name);
        let value = found.and_then(|header| header.value);
        let value = value.with_context(|| format!("has no header {name}"))?;
        std::str::from_utf8(value).with_context(|| format!("header {name} is no text"))
    };
    let key = std::str::from_utf8(message.key().context("has no key")?)?;
    let content_type = header("content-type")?;
    if content_type != "application/json" {
        bail!("is {content_type}: the check reads JSON");
    }
    let version: u32 = header("aggregate_version")?.parse()?;
    if header("ce_subject")? != key {
        bail!("has the key {key} and is about {}", header("ce_subject")?);
    }
    let payload = serde_json::from_slice(message.payload().context("has no value")?)?;
    let (payload_version, state) = events::read(topic, &payload)?;
    if payload_version != version {
        bail!("says version {version} in its header and {payload_version} in its value");
    }
    Ok(Record {
        partition: message.partition(),
        offset: message.offset(),
        key: Uuid::try_parse(key)?,
        event_id: header("ce_id")?.parse()?,
        event_type: header("ce_type")?.to_owned(),
        version,
        state,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_broker_that_is_not_ready_is_asked_again_and_one_that_refuses_is_not() {
        let asked = Cell::new(0);
        let answer = patiently(|| {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotCoordinator)),
                2 => Ok(7),
                _ => Err(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::TopicAuthorizationFailed,
                )),
            }
        });
        assert_eq!((answer, asked.get()), (Ok(7), 2));
        let refused = patiently(|| {
            asked.set(asked.get() + 1);
            Err::<(), _>(KafkaError::MetadataFetch(
                RDKafkaErrorCode::TopicAuthorizationFailed,
            ))
        });
        assert!(refused.is_err());
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_broker_that_does_not_get_ready_is_given_up() {
        let answer = patiently_for(Duration::from_millis(1), || {
            Err::<(), _>(KafkaError::MetadataFetch(RDKafkaErrorCode::NotCoordinator))
        });
        assert!(answer.is_err());
    }
}

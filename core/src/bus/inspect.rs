//! Looking into the log from outside, for tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Quiet, config, consumer_config, partition_count, watermarks};
use super::tail::item;
use super::{BusError, TailItem, group, record};
use crate::events::topic::DEAD_LETTER_BYTES;
use crate::events::{Channel, RawRecord, Topic};
use crate::runtime::settings::{KafkaSettings, Settings};

const ANSWER: Duration = Duration::from_secs(10);

/// Everything that is in a topic now, partition by partition, each in the order of the log.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn read_all(settings: &KafkaSettings, topic: Topic) -> Result<Vec<TailItem>, BusError> {
    let names = settings.topics.clone();
    let records = read(settings, topic.into(), move |message| {
        record::read(&names, message).map(item)
    });
    Ok(records.await?.into_iter().flatten().collect())
}

/// The same as it is, of a topic or its dead letters.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn read_raw(
    settings: &KafkaSettings,
    channel: Channel,
) -> Result<Vec<RawRecord>, BusError> {
    read(settings, channel, record::raw).await
}

/// Joins a role's group under the name of its first member, waits for partitions, and goes away: what a broker that crashes
/// while it answers a member looks like to that member.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn join_as_first_member(
    settings: &Settings,
    role: &'static str,
    topic: Topic,
) -> Result<(), BusError> {
    let settings = settings.clone();
    blocking(move || {
        let mut config = consumer_config(&settings.kafka, "inspect");
        config
            .set(
                "group.id",
                format!("{}{role}", settings.kafka.topics.prefix()),
            )
            .set("group.instance.id", group::instance_id(&settings, role, 0))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        consumer.subscribe(&[&settings.kafka.topics.name(topic)])?;
        while consumer.assignment()?.count() == 0 {
            if let Some(Err(error)) = consumer.poll(Duration::from_millis(100)) {
                return Err(error);
            }
        }
        Ok(())
    })
    .await
}

async fn read<T: Send + 'static>(
    settings: &KafkaSettings,
    channel: Channel,
    read: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
) -> Result<Vec<T>, BusError> {
    let settings = settings.clone();
    blocking(move || {
        let consumer = consumer(&settings, "inspect")?;
        let name = settings.topics.name(channel);
        let mut ends = BTreeMap::new();
        let mut begin = TopicPartitionList::new();
        for partition in 0..partition_count(consumer.client(), &name, ANSWER)? {
            let (low, end) = watermarks(consumer.client(), &name, partition, ANSWER)?;
            if end > low {
                begin.add_partition_offset(&name, partition, Offset::Offset(low))?;
                ends.insert(partition, end);
            }
        }
        consumer.assign(&begin)?;
        let mut items = Vec::new();
        while !ends.is_empty() {
            let Some(message) = consumer.poll(ANSWER) else {
                continue;
            };
            let message = message?;
            let (partition, offset) = (message.partition(), message.offset());
            match ends.get(&partition) {
                Some(&end) if offset < end => items.push((partition, offset, read(&message))),
                _ => {}
            }
            if ends.get(&partition).is_some_and(|&end| offset + 1 >= end) {
                ends.remove(&partition);
            }
        }
        items.sort_by_key(|(partition, offset, _)| (*partition, *offset));
        Ok(items.into_iter().map(|(_, _, item)| item).collect())
    })
    .await
}

/// Where each partition of a topic ends.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn ends(settings: &KafkaSettings, topic: Topic) -> Result<BTreeMap<i32, i64>, BusError> {
    let settings = settings.clone();
    blocking(move || {
        let consumer = consumer(&settings, "inspect")?;
        let name = settings.topics.name(topic);
        (0..partition_count(consumer.client(), &name, ANSWER)?)
            .map(|partition| {
                Ok((
                    partition,
                    watermarks(consumer.client(), &name, partition, ANSWER)?.1,
                ))
            })
            .collect()
    })
    .await
}

/// What a role's group has committed of a topic; partitions without a commit are left out.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn committed(
    settings: &KafkaSettings,
    role: &str,
    topic: Topic,
) -> Result<BTreeMap<i32, i64>, BusError> {
    let settings = settings.clone();
    let role = role.to_owned();
    blocking(move || {
        let consumer = consumer(&settings, &role)?;
        let name = settings.topics.name(topic);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(
            &name,
            0,
            partition_count(consumer.client(), &name, ANSWER)? - 1,
        );
        let list = consumer.committed_offsets(list, ANSWER)?;
        let offsets = list
            .elements()
            .into_iter()
            .filter_map(|one| match one.offset() {
                Offset::Offset(offset) => Some((one.partition(), offset)),
                _ => None,
            });
        Ok(offsets.collect())
    })
    .await
}

/// Sets a role's group back, or on, as if it had committed these offsets. Nobody may be in the group.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn commit(
    settings: &KafkaSettings,
    role: &str,
    topic: Topic,
    offsets: BTreeMap<i32, i64>,
) -> Result<(), BusError> {
    let settings = settings.clone();
    let role = role.to_owned();
    blocking(move || {
        let consumer = consumer(&settings, &role)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let name = settings.topics.name(topic);
            list.add_partition_offset(&name, partition, Offset::Offset(offset))?;
        }
        consumer.commit(&list, CommitMode::Sync)
    })
    .await
}

/// Sends a record as it is, however large it is. A broker learns of an altered topic some time after the alteration is
/// answered, so what is too large for it is sent again for a while.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn send_raw(
    settings: &KafkaSettings,
    topic: Topic,
    raw: RawRecord,
) -> Result<(), BusError> {
    let producer: FutureProducer<Quiet> = config(settings, "inspect")
        .set("message.max.bytes", DEAD_LETTER_BYTES.to_string())
        .set("partitioner", "murmur2_random")
        .create_with_context(Quiet)
        .map_err(BusError::creation)?;
    let name = settings.topics.name(topic);
    let give_up = Instant::now() + ANSWER;
    loop {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &raw.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key, value });
        }
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&name).headers(headers);
        record.key = raw.key.as_deref();
        record.payload = raw.value.as_deref();
        let delivery = producer
            .send_result(record)
            .map_err(|(error, _)| BusError::away(error))?;
        let error = match delivery.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err((error, _))) => error,
            Err(error) => return Err(BusError::away(error)),
        };
        let too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
        if !too_large || Instant::now() > give_up {
            return Err(BusError::away(error));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets a topic take records as large as a dead letter may be.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn allow_large_records(settings: &KafkaSettings, topic: Topic) -> Result<(), BusError> {
    let admin: AdminClient<Quiet> = config(settings, "inspect")
        .create_with_context(Quiet)
        .map_err(BusError::creation)?;
    let (name, most) = (settings.topics.name(topic), DEAD_LETTER_BYTES.to_string());
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("max.message.bytes", &most);
    let altered = admin
        .alter_configs([&wanted], &AdminOptions::new())
        .await
        .map_err(BusError::away)?;
    for one in altered {
        one.map_err(|(_, code)| BusError::away(anyhow!("{code}")))?;
    }
    Ok(())
}

fn consumer(settings: &KafkaSettings, group: &str) -> KafkaResult<BaseConsumer<Quiet>> {
    consumer_config(settings, "inspect")
        .set("group.id", format!("{}{group}", settings.topics.prefix()))
        .set("enable.auto.commit", "false")
        .create_with_context(Quiet)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(BusError::away)?
        .map_err(BusError::away)
}

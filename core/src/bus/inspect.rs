//! Looking into the log from outside, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Quiet, consumer_config, partition_count, watermarks};
use super::tail::item;
use super::{BusError, TailItem, record};
use crate::events::Topic;
use crate::runtime::settings::KafkaSettings;

const ANSWER: Duration = Duration::from_secs(10);

/// Everything that is in a topic now, partition by partition, each in the order of the log.
///
/// # Errors
/// [`BusError::Unavailable`].
pub async fn read_all(settings: &KafkaSettings, topic: Topic) -> Result<Vec<TailItem>, BusError> {
    let settings = settings.clone();
    blocking(move || {
        let consumer = consumer(&settings, "inspect")?;
        let name = settings.topics.name(topic);
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
            let Some(record) = record::read(&settings.topics, &message?) else {
                continue;
            };
            let (partition, offset) = (record.source.partition, record.source.offset);
            match ends.get(&partition) {
                Some(&end) if offset < end => items.push((partition, offset, item(record))),
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

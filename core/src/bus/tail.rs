//! Reading what is new in one topic, for everybody: the source of a live feed.
//!
//! Reads all partitions, belongs to no group and stores no offset, so any number of processes read the same. What it promises: whatever
//! is written after [`Tail::open`] has returned comes, in the order of each partition, also after the broker was away.
//! Partitions that are added later are not read until the program starts again.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Quiet, consumer_config, partition_count};
use super::{BusError, Ping, group, ping, record};
use crate::events::{DecodeError, Envelope, Source, Topic};
use crate::runtime::settings::KafkaSettings;

/// How long a broker may take to say where a partition ends.
const ANSWER: Duration = Duration::from_secs(5);

/// A reader of one topic's new records.
pub struct Tail {
    consumer: Arc<StreamConsumer<Quiet>>,
    settings: KafkaSettings,
    topic: Topic,
}

/// What a [`Tail`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailItem {
    /// An event.
    Event(Envelope),
    /// A record that can not be read. It is logged, counted and passed over; who follows its key finds the state in the view.
    Skipped {
        /// Where it stands.
        source: Source,
        /// Its key, if it is a text.
        key: Option<String>,
        /// What is wrong with it.
        error: DecodeError,
    },
}

impl Tail {
    /// Begins to read a topic: finds out where every partition ends, and reads from there.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] if Kafka is away or the topic is missing.
    pub async fn open(
        settings: &KafkaSettings,
        client_id: &str,
        topic: Topic,
    ) -> Result<Self, BusError> {
        let consumer: StreamConsumer<Quiet> = consumer_config(settings, client_id)
            // The library wants a group to be named, and joins none as long as nothing is subscribed to.
            .set("group.id", format!("{}tail", settings.topics.prefix()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        let consumer = Arc::new(consumer);
        let (assigned, name) = (Arc::clone(&consumer), settings.topics.name(topic));
        tokio::task::spawn_blocking(move || assign_at_end(&assigned, &name))
            .await
            .map_err(BusError::away)?
            .map_err(BusError::away)?;
        Ok(Self { consumer, settings: settings.clone(), topic })
    }

    /// The next record. Waits while there is none or Kafka is away. Safe to drop and call again.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if the client can not go on: open a new one, and fill what was missed from the view.
    pub async fn next(&mut self) -> Result<TailItem, BusError> {
        loop {
            let record = match self.consumer.recv().await {
                Ok(message) => record::read(&self.settings.topics, &message),
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => {
                    return Err(BusError::Fatal(error.into()));
                }
                Err(error) => {
                    tracing::debug!("waiting for topic {}: {error}", self.topic);
                    continue;
                }
            };
            let Some(record) = record else { continue };
            return Ok(item(record));
        }
    }

    /// A question to the broker on this reader's connection, for a readiness probe.
    pub fn pinger(&self) -> Ping {
        let consumer = Arc::downgrade(&self.consumer);
        let topic = self.settings.topics.name(self.topic);
        Ping::new(move || {
            let consumer = consumer.upgrade()?;
            Some(partition_count(consumer.client(), &topic, ping::BOUND).map(|_| ()))
        })
    }
}

impl Drop for Tail {
    /// Closing can take a while when the broker is away, and nobody has to wait for it.
    fn drop(&mut self) {
        drop(group::close(Arc::clone(&self.consumer)));
    }
}

pub(super) fn item(record: record::Record) -> TailItem {
    let source = record.source;
    match record.event {
        Ok(event) => TailItem::Event(Envelope { source, event }),
        Err(error) => {
            let Source { topic, partition, offset } = source;
            group::count_failed(topic, 1);
            tracing::error!(
                topic = topic.as_str(),
                partition,
                offset,
                "skipped a record of topic {topic} that can not be read, partition {partition} offset {offset}: {error}"
            );
            TailItem::Skipped { source, key: record.key, error }
        }
    }
}

fn assign_at_end(consumer: &StreamConsumer<Quiet>, topic: &str) -> KafkaResult<()> {
    let mut ends = TopicPartitionList::new();
    for partition in 0..partition_count(consumer.client(), topic, ANSWER)? {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    consumer.assign(&ends)
}

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

use super::client::{Quiet, consumer_config, partition_count, watermarks};
use super::closing::Closing;
use super::{BusError, Ping, group, ping, record};
use crate::events::{DecodeError, Envelope, Source, Topic};
use crate::runtime::settings::KafkaSettings;

/// How long a broker may take to say where a partition ends.
const ANSWER: Duration = Duration::from_secs(5);

/// A reader of one topic's new records.
pub struct Tail {
    consumer: Arc<Closing<StreamConsumer<Quiet>>>,
    settings: KafkaSettings,
    topic: Topic,
    begins: Vec<i64>,
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
        group::count_nothing_skipped(topic);
        let consumer: StreamConsumer<Quiet> = consumer_config(settings, client_id)
            // The library wants a group to be named, and joins none as long as nothing is subscribed to.
            .set("group.id", format!("{}tail", settings.topics.prefix()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        let consumer = Arc::new(Closing::new(consumer));
        let (assigned, name) = (Arc::clone(&consumer), settings.topics.name(topic));
        let begins = tokio::task::spawn_blocking(move || assign_at_end(&assigned, &name))
            .await
            .map_err(BusError::away)?
            .map_err(BusError::away)?;
        Ok(Self {
            consumer,
            settings: settings.clone(),
            topic,
            begins,
        })
    }

    /// The offset of the first record that is read, by partition.
    pub fn begins(&self) -> &[i64] {
        &self.begins
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

pub(super) fn item(record: record::Record) -> TailItem {
    let source = record.source;
    match record.event {
        Ok(event) => TailItem::Event(Envelope { source, event }),
        Err(error) => {
            let Source {
                topic,
                partition,
                offset,
            } = source;
            group::count_failed(topic, 1);
            group::count_skipped(topic);
            tracing::error!(
                topic = topic.as_str(),
                partition,
                offset,
                "skipped a record of topic {topic} that can not be read, partition {partition} offset {offset}: {error}"
            );
            TailItem::Skipped {
                source,
                key: record.key,
                error,
            }
        }
    }
}

fn assign_at_end(consumer: &StreamConsumer<Quiet>, topic: &str) -> KafkaResult<Vec<i64>> {
    let (mut begins, mut ends) = (Vec::new(), TopicPartitionList::new());
    for partition in 0..partition_count(consumer.client(), topic, ANSWER)? {
        let (_, end) = watermarks(consumer.client(), topic, partition, ANSWER)?;
        ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
        begins.push(end);
    }
    consumer.assign(&ends)?;
    Ok(begins)
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::bus::Producer;
    use crate::domain::{EventId, ProductId, StockLevel, Timestamp};
    use crate::events::{Encoding, Event, EventType, Payload, TopicNames, WireRecord};
    use crate::runtime::ids;
    use crate::runtime::settings::KafkaSecurity;

    const TOPIC: Topic = Topic::StockStatus;
    const BOUND: Duration = Duration::from_secs(20);

    fn record(version: u32) -> (Topic, WireRecord) {
        let product_id = ProductId::from_uuid(ids::fresh());
        let level = StockLevel {
            product_id,
            version,
            on_hand: 7,
            reserved: 0,
            sellable: true,
        };
        let event = Event {
            id: EventId::from_uuid(ids::fresh()),
            kind: EventType::StockLevelChanged,
            time: Timestamp::from_millis(0),
            trace: None,
            payload: Payload::StockLevel(level),
        };
        (TOPIC, event.encode(Encoding::Binary))
    }

    async fn next(tail: &mut Tail) -> TailItem {
        tokio::time::timeout(BOUND, tail.next())
            .await
            .unwrap()
            .unwrap()
    }

    async fn next_version(tail: &mut Tail) -> u32 {
        match next(tail).await {
            TailItem::Event(envelope) => envelope.event.version(),
            TailItem::Skipped { error, .. } => panic!("skipped: {error}"),
        }
    }

    #[tokio::test]
    async fn everything_after_open_comes_once_whatever_happens_in_between() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC.as_str(), 3, 1).unwrap();
        let settings = KafkaSettings {
            brokers: cluster.bootstrap_servers(),
            topics: TopicNames::default(),
            partitions: 3,
            replication: 1,
            encoding: Encoding::Binary,
            security: KafkaSecurity::default(),
        };
        let producer = Producer::new(&settings, "test").unwrap();
        producer
            .send_all((1..=20).map(record).collect())
            .await
            .unwrap();

        let mut tail = Tail::open(&settings, "test", TOPIC).await.unwrap();
        producer.send_all(vec![record(21)]).await.unwrap();
        assert_eq!(
            next_version(&mut tail).await,
            21,
            "what was there before is not read"
        );

        let (_, mut poison) = record(22);
        poison.value.clear();
        let key = poison.key.clone();
        producer.send_all(vec![(TOPIC, poison)]).await.unwrap();
        let TailItem::Skipped {
            key: Some(skipped), ..
        } = next(&mut tail).await
        else {
            panic!("an empty value is no event");
        };
        assert_eq!(skipped, key, "who follows the key has to know");

        cluster.broker_down(1).unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(300), tail.next()).await;
        assert!(waiting.is_err(), "it waits: {waiting:?}");
        assert!(
            tail.pinger().ping().await.is_err(),
            "nobody is there to answer"
        );
        cluster.broker_up(1).unwrap();
        producer.send_all(vec![record(23)]).await.unwrap();
        assert_eq!(next_version(&mut tail).await, 23);
        tail.pinger().ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_topic_is_said_and_not_waited_for() {
        let cluster = MockCluster::new(1).unwrap();
        let settings = KafkaSettings {
            brokers: cluster.bootstrap_servers(),
            topics: TopicNames::with_prefix("missing-"),
            partitions: 1,
            replication: 1,
            encoding: Encoding::Json,
            security: KafkaSecurity::default(),
        };
        let opened = tokio::time::timeout(BOUND, Tail::open(&settings, "test", TOPIC))
            .await
            .unwrap();
        assert!(matches!(opened, Err(BusError::Unavailable(_))));
    }
}

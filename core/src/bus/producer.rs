//! Sending records, with one promise: when it says that they are sent, every replica that is asked for has them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};

use super::client::{Quiet, config, partition_count};
use super::closing::Closing;
use super::{BusError, Ping, ping};
use crate::events::{Topic, WireRecord};
use crate::runtime::settings::KafkaSettings;

/// A producer. Clones share one queue and one connection. Dropping the last one blocks nobody.
///
/// Records of one key stay in the order in which they were given, also when the broker goes away in between: the client
/// numbers them (idempotence) and never gives one up (`message.timeout.ms` = 0), so none is overtaken by a later one.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Closing<FutureProducer<Quiet>>>,
    settings: Arc<KafkaSettings>,
}

impl Producer {
    /// A producer. Connects in the background, so this succeeds while Kafka is away.
    ///
    /// # Errors
    /// [`BusError::Settings`].
    pub fn new(settings: &KafkaSettings, client_id: &str) -> Result<Self, BusError> {
        let inner: FutureProducer<Quiet> = config(settings, client_id)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // A record that fails for good stops the producer before a later one of its key can pass.
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            .set("compression.type", "lz4")
            // Batches are handed over whole, so there is nothing to wait for: a single record is acknowledged after 0.8 ms, with
            // a linger of 0.2 or 1 ms after 1.9; a thousand take 22 ms either way.
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", "20000")
            .set("queue.buffering.max.kbytes", "65536")
            // Keys go where every other client sends them.
            .set("partitioner", "murmur2_random")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        Ok(Self {
            inner: Arc::new(Closing::new(inner)),
            settings: Arc::new(settings.clone()),
        })
    }

    /// Sends records in this order and returns when all are acknowledged. While Kafka is away it waits, without end: bound it
    /// from outside, and [`purge`](Self::purge) if you do not wait on.
    ///
    /// # Errors
    /// The first failure, once nothing of this call is on its way any more. Some records may have been written. After
    /// [`BusError::Fatal`] the producer takes nothing more.
    pub async fn send_all(&self, records: Vec<(Topic, WireRecord)>) -> Result<(), BusError> {
        let mut in_flight = VecDeque::with_capacity(records.len());
        let mut result = Ok(());
        for (topic, record) in records {
            result = self.enqueue(topic, record, &mut in_flight).await;
            if result.is_err() {
                break;
            }
        }
        while let Some(delivery) = in_flight.pop_front() {
            let delivered = delivery.wait().await;
            result = result.and(delivered);
        }
        match self.inner.client().fatal_error() {
            Some((code, reason)) if result.is_err() => Err(BusError::Fatal(
                anyhow!(KafkaError::Global(code)).context(reason),
            )),
            _ => result,
        }
    }

    /// Puts a record into the client's queue; waits for the oldest one if it is full.
    async fn enqueue(
        &self,
        topic: Topic,
        record: WireRecord,
        in_flight: &mut VecDeque<InFlight>,
    ) -> Result<(), BusError> {
        let name = self.settings.topics.name(topic);
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut message = FutureRecord::to(&name)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers);
        loop {
            match self.inner.send_result(message) {
                Ok(future) => {
                    in_flight.push_back(InFlight {
                        topic,
                        key: record.key,
                        future,
                    });
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    message = unsent;
                    match in_flight.pop_front() {
                        Some(oldest) => oldest.wait().await?,
                        // The queue is full of another call's records.
                        None => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
                Err((error, _)) => return Err(BusError::delivery(error, topic, &record.key)),
            }
        }
    }

    /// Throws away what is queued and on its way: a leader that lost its lock sends nothing more. What a broker has already may
    /// be written all the same.
    pub fn purge(&self) {
        self.inner.purge(PurgeConfig::default().queue().inflight());
    }

    /// Asks a broker for an answer, for a readiness probe.
    ///
    /// # Errors
    /// [`BusError::Unavailable`].
    pub async fn ping(&self) -> Result<(), BusError> {
        self.pinger().ping().await
    }

    /// The question of [`ping`](Self::ping), to be kept by a readiness probe.
    pub fn pinger(&self) -> Ping {
        let producer = Arc::downgrade(&self.inner);
        let topic = self.settings.topics.name(Topic::Orders);
        Ping::new(move || {
            let producer = producer.upgrade()?;
            Some(partition_count(producer.client(), &topic, ping::BOUND).map(|_| ()))
        })
    }
}

/// A record on its way.
struct InFlight {
    topic: Topic,
    key: String,
    future: DeliveryFuture,
}

impl InFlight {
    async fn wait(self) -> Result<(), BusError> {
        match self.future.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(BusError::delivery(error, self.topic, &self.key)),
            Err(_) => Err(BusError::Purged),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::bus::{TailItem, inspect};
    use crate::events::{Encoding, TopicNames};
    use crate::runtime::settings::KafkaSecurity;

    const TOPIC: Topic = Topic::Orders;

    /// A broker in this process, with one topic of one partition.
    fn broker() -> (
        MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
        KafkaSettings,
    ) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC.as_str(), 1, 1).unwrap();
        let settings = KafkaSettings {
            brokers: cluster.bootstrap_servers(),
            topics: TopicNames::default(),
            partitions: 1,
            replication: 1,
            encoding: Encoding::Json,
            security: KafkaSecurity::default(),
        };
        (cluster, settings)
    }

    fn record(key: usize, bytes: usize) -> (Topic, WireRecord) {
        (
            TOPIC,
            WireRecord {
                key: key.to_string(),
                headers: Vec::new(),
                value: vec![b'x'; bytes],
            },
        )
    }

    async fn keys(settings: &KafkaSettings) -> Vec<usize> {
        let items = inspect::read_all(settings, TOPIC).await.unwrap();
        let key = |item| match item {
            TailItem::Skipped { key, .. } => key.unwrap().parse().unwrap(),
            TailItem::Event(_) => panic!("these records are no events"),
        };
        items.into_iter().map(key).collect()
    }

    #[tokio::test]
    async fn what_is_sent_while_the_broker_is_away_arrives_in_order_when_it_is_back() {
        let (cluster, settings) = broker();
        let producer = Producer::new(&settings, "test").unwrap();
        producer.send_all(vec![record(0, 10)]).await.unwrap();
        cluster.broker_down(1).unwrap();
        let sending = producer.send_all((1..=500).map(|key| record(key, 10)).collect());
        tokio::pin!(sending);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut sending).await;
        assert!(early.is_err(), "acknowledged by nobody: {early:?}");
        cluster.broker_up(1).unwrap();
        tokio::time::timeout(Duration::from_secs(20), sending)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(keys(&settings).await, (0..=500).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn more_than_the_queue_holds_is_sent_all_the_same() {
        let (_cluster, settings) = broker();
        let producer = Producer::new(&settings, "test").unwrap();
        producer
            .send_all((0..25_000).map(|key| record(key, 10)).collect())
            .await
            .unwrap();
        assert_eq!(keys(&settings).await, (0..25_000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn nothing_follows_a_record_that_is_refused() {
        let (_cluster, settings) = broker();
        let producer = Producer::new(&settings, "test").unwrap();
        let records = vec![record(0, 10), record(1, 2_000_000), record(2, 10)];
        let error = producer.send_all(records).await.unwrap_err();
        assert!(
            matches!(&error, BusError::Refused { key, .. } if key == "1"),
            "{error:?}"
        );
        assert_eq!(keys(&settings).await, [0]);
    }

    #[tokio::test]
    async fn what_is_purged_is_not_sent_when_the_broker_is_back() {
        let (cluster, settings) = broker();
        let producer = Producer::new(&settings, "test").unwrap();
        producer.send_all(vec![record(0, 10)]).await.unwrap();
        cluster.broker_down(1).unwrap();
        let sending = producer.send_all((1..=3).map(|key| record(key, 10)).collect());
        tokio::pin!(sending);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), &mut sending)
                .await
                .is_err()
        );
        producer.purge();
        assert!(matches!(sending.await, Err(BusError::Purged)));
        cluster.broker_up(1).unwrap();
        Producer::new(&settings, "next")
            .unwrap()
            .send_all(vec![record(9, 10)])
            .await
            .unwrap();
        assert_eq!(keys(&settings).await, [0, 9]);
    }
}

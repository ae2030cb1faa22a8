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
use super::{BusError, Ping, ping};
use crate::events::{Topic, WireRecord};
use crate::runtime::settings::KafkaSettings;

/// A producer. Clones share one queue and one connection.
///
/// Records of one key stay in the order in which they were given, also when the broker goes away in between: the client
/// numbers them (idempotence) and never gives one up (`message.timeout.ms` = 0), so none is overtaken by a later one.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer<Quiet>,
    settings: Arc<KafkaSettings>,
}

impl Producer {
    /// A producer. Connects in the background, so this succeeds while Kafka is away.
    ///
    /// # Errors
    /// [`BusError::Settings`].
    pub fn new(settings: &KafkaSettings, client_id: &str) -> Result<Self, BusError> {
        let inner = config(settings, client_id)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // A record that fails for good stops the producer before a later one of its key can pass.
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            .set("compression.type", "lz4")
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "20000")
            .set("queue.buffering.max.kbytes", "65536")
            // Keys go where every other client sends them.
            .set("partitioner", "murmur2_random")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        Ok(Self { inner, settings: Arc::new(settings.clone()) })
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
            Some((code, reason)) if result.is_err() => {
                Err(BusError::Fatal(anyhow!(KafkaError::Global(code)).context(reason)))
            }
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
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut message =
            FutureRecord::to(&name).key(&record.key).payload(&record.value).headers(headers);
        loop {
            match self.inner.send_result(message) {
                Ok(future) => {
                    in_flight.push_back(InFlight { topic, key: record.key, future });
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
        let producer = self.inner.clone();
        let topic = self.settings.topics.name(Topic::Orders);
        Ping::new(move || Some(partition_count(producer.client(), &topic, ping::BOUND).map(|_| ())))
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

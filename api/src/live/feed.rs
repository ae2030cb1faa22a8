//! The one reader of the topic `order-status` in this process.
//!
//! Assigned to all partitions at their ends, in no consumer group, so that any copy of the program serves any client.
//! Reads: `order-status`. Writes: nothing. A repeat is told nobody twice, since watchers compare versions. After anything
//! that may have cost a record, watchers are told to read the view, which is written before a status is published.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use shop_core::bus::{BusError, Ping, Tail, TailItem};
use shop_core::domain::OrderId;
use shop_core::events::{Payload, Topic};
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::metrics::LIVE_STATUS_RECORDS;
use shop_core::runtime::settings::KafkaSettings;

use super::hub::Hub;

/// Kafka's name for this client.
const CLIENT_ID: &str = "api-live";

/// The reader of live status. Clones share it.
#[derive(Clone, Default)]
pub struct Feed {
    /// Set while the topic is being read.
    ping: Arc<Mutex<Option<Ping>>>,
}

impl Feed {
    /// A reader that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads until it is dropped; opens the topic again and again while it can not be read.
    pub async fn run(&self, settings: &KafkaSettings, hub: &Hub) {
        metrics::counter!(LIVE_STATUS_RECORDS).increment(0);
        let mut backoff = Backoff::new();
        loop {
            if let Err(error) = self.read(settings, hub, &mut backoff).await {
                let cause = anyhow::Error::new(error);
                tracing::warn!(
                    "live status waits for topic {}: {cause:#}",
                    Topic::OrderStatus
                );
            }
            self.set(None);
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// A readiness probe: whether the topic is being read and its broker answers.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn probe(&self) -> Result<(), String> {
        let ping = self
            .ping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match ping {
            Some(ping) => ping.probe().await,
            None => Err(format!("topic {} is not being read", Topic::OrderStatus)),
        }
    }

    async fn read(
        &self,
        settings: &KafkaSettings,
        hub: &Hub,
        backoff: &mut Backoff,
    ) -> Result<(), BusError> {
        let mut tail = Tail::open(settings, CLIENT_ID, Topic::OrderStatus).await?;
        backoff.reset();
        self.set(Some(tail.pinger()));
        hub.resync(); // whoever came before the ends were known
        loop {
            let item = tail.next().await?;
            metrics::counter!(LIVE_STATUS_RECORDS).increment(1);
            match item {
                TailItem::Event(envelope) => {
                    if let Payload::Order(order) = envelope.event.payload {
                        hub.publish(&Arc::from(order));
                    }
                }
                TailItem::Skipped { key, .. } => match key.as_deref().and_then(order_of_key) {
                    Some(order_id) => hub.lag(order_id),
                    None => hub.resync(),
                },
            }
        }
    }

    fn set(&self, ping: Option<Ping>) {
        *self.ping.lock().unwrap_or_else(PoisonError::into_inner) = ping;
    }
}

/// The order that a record's key names: its bare uuid.
fn order_of_key(key: &str) -> Option<OrderId> {
    OrderId::from_str(&format!("{}{key}", OrderId::PREFIX)).ok()
}

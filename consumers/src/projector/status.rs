//! Where statuses go.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail};
use shop_core::bus::{BusError, Producer};
use shop_core::events::{Topic, WireRecord};
use shop_core::runtime::settings::KafkaSettings;
use shop_core::runtime::{Settings, Shutdown};
use tokio::sync::RwLock;

use super::NAME;

/// A place that takes statuses.
pub trait StatusSink: Send + Sync + 'static {
    /// Takes records, in this order per key. When it returns, they are safe.
    fn publish(
        &self,
        records: Vec<(Topic, WireRecord)>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The topics `order-status` and `stock-status`.
pub struct StatusTopics {
    settings: KafkaSettings,
    shutdown: Shutdown,
    /// How long statuses that are on their way may take once the program was told to stop.
    grace: Duration,
    /// Replaced when the client can not go on.
    producer: RwLock<Producer>,
}

impl StatusTopics {
    /// Gets ready to send; connects in the background.
    ///
    /// # Errors
    /// If the client does not accept the settings.
    pub fn new(settings: &Settings, shutdown: Shutdown) -> anyhow::Result<Self> {
        let producer = RwLock::new(new_producer(&settings.kafka)?);
        let grace = settings.shutdown_grace / 2;
        Ok(Self {
            settings: settings.kafka.clone(),
            shutdown,
            grace,
            producer,
        })
    }
}

fn new_producer(settings: &KafkaSettings) -> anyhow::Result<Producer> {
    Producer::new(settings, NAME).context("failed to make the producer of statuses")
}

impl StatusSink for StatusTopics {
    /// Waits for Kafka as long as it takes: a batch whose statuses are on their way needs no second try. Gives up only when
    /// the program was told to stop; the batch then comes again.
    async fn publish(&self, records: Vec<(Topic, WireRecord)>) -> anyhow::Result<()> {
        let producer = self.producer.read().await.clone();
        let told_to_stop = async {
            self.shutdown.requested().await;
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            biased;
            sent = producer.send_all(records) => {
                if matches!(sent, Err(BusError::Fatal(_))) {
                    *self.producer.write().await = new_producer(&self.settings)?;
                }
                Ok(sent?)
            }
            () = told_to_stop => bail!("gave up waiting for Kafka, since the program was told to stop"),
        }
    }
}

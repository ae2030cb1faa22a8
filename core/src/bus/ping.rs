//! Whether a broker answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::error::KafkaResult;

use super::BusError;

/// How long a broker may take to answer; less than a readiness probe may take.
pub(super) const BOUND: Duration = Duration::from_millis(1_500);

/// Asks a broker for the state of one topic, on the connection that a client has already. Clones ask the same client, and
/// do not keep it alive.
#[derive(Clone)]
pub struct Ping {
    ask: Arc<dyn Fn() -> Option<KafkaResult<()>> + Send + Sync>,
}

impl Ping {
    /// From a question that blocks, for at most [`BOUND`]; `None` if the client is closed.
    pub(super) fn new(ask: impl Fn() -> Option<KafkaResult<()>> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask) }
    }

    /// Ends with `Ok` once a broker has answered that the topic is there.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] if no broker answers within one and a half seconds, the topic is missing or the client is closed.
    pub async fn ping(&self) -> Result<(), BusError> {
        let ask = Arc::clone(&self.ask);
        match tokio::task::spawn_blocking(move || ask()).await {
            Ok(Some(answer)) => answer.map_err(BusError::away),
            Ok(None) => Err(BusError::away(anyhow!("the client is closed"))),
            Err(error) => Err(BusError::away(error)),
        }
    }

    /// The same in the form of a readiness probe: what is wrong is told in words.
    pub async fn probe(&self) -> Result<(), String> {
        self.ping()
            .await
            .map_err(|error| format!("{:#}", anyhow!(error)))
    }
}

impl fmt::Debug for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ping")
    }
}

//! What can go wrong with the log, told apart by what the caller can do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::events::Topic;

/// A failure of the log.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No broker answers, or not in time. Try again later.
    #[error("Kafka is away")]
    Unavailable(#[source] anyhow::Error),
    /// A record is not taken, however often it is sent: too large, or the topic is not there.
    #[error("topic {topic} does not take a record of key {key}")]
    Refused {
        /// Where it was sent.
        topic: Topic,
        /// Its key.
        key: String,
        /// Why.
        #[source]
        cause: anyhow::Error,
    },
    /// The queue was emptied with [`Producer::purge`](super::Producer::purge) before the record was acknowledged.
    #[error("the record was purged before it was acknowledged")]
    Purged,
    /// The client can not go on; make a new one.
    #[error("the Kafka client can not go on")]
    Fatal(#[source] anyhow::Error),
    /// The settings are not ones that the client accepts.
    #[error("the Kafka client does not accept its settings")]
    Settings(#[source] anyhow::Error),
}

impl BusError {
    /// Whether trying again with the same client can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(super) fn away(error: impl Into<anyhow::Error>) -> Self {
        Self::Unavailable(error.into())
    }

    pub(super) fn creation(error: KafkaError) -> Self {
        Self::Settings(error.into())
    }

    /// What a failed delivery means.
    pub(super) fn delivery(error: KafkaError, topic: Topic, key: &str) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => Self::Purged,
            Some(
                RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::OutOfOrderSequenceNumber
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::UnknownProducerId,
            ) => Self::Fatal(error.into()),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::QueueFull,
            ) => Self::Unavailable(error.into()),
            _ => Self::Refused {
                topic,
                key: key.to_owned(),
                cause: error.into(),
            },
        }
    }
}

//! Dead letters: records that were given up, in `<topic>.dlq`, as they were, with headers that say why.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::future::join_all;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::mpsc;

use super::client::{Quiet, config};
use super::closing::Closing;
use crate::db::parked::Stored;
use crate::events::topic::DEAD_LETTER_BYTES;
use crate::events::wire::{header, rfc3339};
use crate::events::{Channel, Source};
use crate::runtime::settings::KafkaSettings;

/// How long the broker may take to acknowledge a dead letter.
const BOUND: Duration = Duration::from_secs(10);
/// What became of so many batches of letters can wait to be read.
const ANSWERS: usize = 16;

/// What became of letters that were sent: each acknowledged, or not.
pub(super) type Sent = Vec<(Source, anyhow::Result<()>)>;

/// Sends dead letters, without anybody waiting for it.
pub(super) struct DeadLetters {
    settings: KafkaSettings,
    client_id: String,
    answers: mpsc::Sender<Sent>,
    /// Made with the first letter, and anew after a failure: one that knows a topic as missing would go on doing so for a while.
    producer: Option<Arc<Closing<FutureProducer<Quiet>>>>,
}

impl DeadLetters {
    /// Gets ready. What becomes of the letters is told to the receiver.
    pub fn new(settings: &KafkaSettings, client_id: &str) -> (Self, mpsc::Receiver<Sent>) {
        let (answers, sent) = mpsc::channel(ANSWERS);
        let letters = Self {
            settings: settings.clone(),
            client_id: format!("{client_id}-dlq"),
            answers,
            producer: None,
        };
        (letters, sent)
    }

    /// A failure may be the client's: the next letter gets another one.
    pub fn start_anew(&mut self) {
        self.producer = None;
    }

    /// Sends letters.
    pub fn send(&mut self, letters: Vec<Stored>) {
        if letters.is_empty() {
            return;
        }
        let sources: Vec<Source> = letters.iter().map(|letter| letter.source).collect();
        let producer = self.producer();
        let settings = self.settings.clone();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let sent = match producer {
                Ok(producer) => send(&producer, &settings, &letters).await,
                Err(error) => sources
                    .into_iter()
                    .map(|source| (source, Err(anyhow!("{error}"))))
                    .collect(),
            };
            // Nobody listens any more: whoever has the partition next sends them.
            let _ = answers.send(sent).await;
        });
    }

    fn producer(&mut self) -> Result<Arc<Closing<FutureProducer<Quiet>>>, KafkaError> {
        if let Some(producer) = &self.producer {
            return Ok(Arc::clone(producer));
        }
        let made: FutureProducer<Quiet> = config(&self.settings, &self.client_id)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", BOUND.as_millis().to_string())
            // A topic that is missing is told at once.
            .set("topic.metadata.propagation.max.ms", "2000")
            .set("message.max.bytes", DEAD_LETTER_BYTES.to_string())
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .create_with_context(Quiet)?;
        let producer = Arc::new(Closing::new(made));
        self.producer = Some(Arc::clone(&producer));
        Ok(producer)
    }
}

async fn send(
    producer: &FutureProducer<Quiet>,
    settings: &KafkaSettings,
    letters: &[Stored],
) -> Sent {
    let sending = letters.iter().map(async |letter| {
        let name = settings
            .topics
            .name(Channel::DeadLetters(letter.source.topic));
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&name).headers(headers(letter));
        record.key = letter.raw.key.as_deref();
        record.payload = letter.raw.value.as_deref();
        let delivered = match producer.send_result(record) {
            Ok(delivery) => delivery.await,
            Err((error, _)) => return (letter.source, Err(error.into())),
        };
        let result = match delivered {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(error.into()),
            Err(_) => Err(anyhow!("the record was purged before it was acknowledged")),
        };
        (letter.source, result)
    });
    join_all(sending).await
}

/// The record's own headers, then ours.
fn headers(letter: &Stored) -> OwnedHeaders {
    let source = letter.source;
    let time = |at: Option<_>| rfc3339(at.unwrap_or(letter.parked_at));
    let (cause, causes) = letter
        .why
        .as_ref()
        .map_or(("unknown", "unknown"), |why| (&why.cause, &why.causes));
    let ours = [
        (header::DLQ_CONSUMER, letter.consumer.clone()),
        (header::DLQ_CAUSE, cause.to_owned()),
        (header::DLQ_CAUSES, causes.to_owned()),
        (header::DLQ_TOPIC, source.topic.as_str().to_owned()),
        (header::DLQ_PARTITION, source.partition.to_string()),
        (header::DLQ_OFFSET, source.offset.to_string()),
        (header::DLQ_TRIES, letter.tries.to_string()),
        (header::DLQ_FIRST_FAILED, time(letter.first_failed_at)),
        (header::DLQ_LAST_FAILED, time(letter.last_failed_at)),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(letter.raw.headers.len() + ours.len());
    for (key, value) in &letter.raw.headers {
        let value = value.as_deref();
        headers = headers.insert(Header { key, value });
    }
    for (key, value) in &ours {
        let value = Some(value);
        headers = headers.insert(Header { key, value });
    }
    headers
}

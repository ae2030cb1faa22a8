//! Looking into the log from outside, for an operator: how far topics reach, how far a role has come, and what is in them.
//! Belongs to no group and moves no offset.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::FutureExt as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::{Quiet, consumer_config, partition_count, watermarks};
use super::closing::Closing;
use super::tail::item;
use super::{BusError, TailItem, record};
use crate::domain::Version;
use crate::events::wire::header;
use crate::events::{Source, Topic};
use crate::runtime::settings::KafkaSettings;

/// How long a broker may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a topic that is read to its end may bring nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// An offset per partition.
pub type Offsets = BTreeMap<(Topic, i32), i64>;

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the first record that is still there.
    pub begin: i64,
    /// The offset that the next record will have.
    pub end: i64,
}

/// What partitions hold.
pub type Extents = BTreeMap<(Topic, i32), Extent>;

/// Where the partitions end.
pub fn ends(extents: &Extents) -> Offsets {
    extents
        .iter()
        .map(|(partition, extent)| (*partition, extent.end))
        .collect()
}

/// How many records are between where somebody is and where they must come.
pub fn behind(reached: &Offsets, wanted: &Offsets) -> i64 {
    wanted
        .iter()
        .map(|(partition, end)| (end - reached.get(partition).copied().unwrap_or(0)).max(0))
        .sum()
}

/// Asks the brokers about topics and about one role's group.
#[derive(Clone)]
pub struct Observer {
    consumer: Arc<BaseConsumer<Quiet>>,
    settings: KafkaSettings,
}

impl Observer {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// [`BusError::Settings`].
    pub fn new(settings: &KafkaSettings, role: &str) -> Result<Self, BusError> {
        let consumer = consumer_config(settings, "ops")
            .set("group.id", format!("{}{role}", settings.topics.prefix()))
            .set("enable.auto.commit", "false")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            settings: settings.clone(),
        })
    }

    /// What the partitions of topics hold now.
    ///
    /// # Errors
    /// [`BusError::Unavailable`], also for a topic that is not there.
    pub async fn extents(&self, topics: &[Topic]) -> Result<Extents, BusError> {
        let (observer, topics) = (self.clone(), topics.to_vec());
        blocking(move || {
            let mut extents = Extents::new();
            for topic in topics {
                let name = observer.settings.topics.name(topic);
                let client = observer.consumer.client();
                for partition in 0..partition_count(client, &name, ANSWER)? {
                    let (begin, end) = watermarks(client, &name, partition, ANSWER)?;
                    extents.insert((topic, partition), Extent { begin, end });
                }
            }
            Ok(extents)
        })
        .await
    }

    /// How far the role has come in partitions, as far as it has said; what is gone already counts as handled.
    ///
    /// # Errors
    /// [`BusError::Unavailable`].
    pub async fn committed(&self, extents: &Extents) -> Result<Offsets, BusError> {
        let (observer, extents) = (self.clone(), extents.clone());
        blocking(move || {
            let mut list = TopicPartitionList::new();
            for (topic, partition) in extents.keys() {
                list.add_partition(&observer.settings.topics.name(*topic), *partition);
            }
            let list = observer.consumer.committed_offsets(list, ANSWER)?;
            let mut offsets: Offsets = extents
                .iter()
                .map(|(partition, extent)| (*partition, extent.begin))
                .collect();
            for one in list.elements() {
                let topic = observer.settings.topics.topic(one.topic());
                if let (Some(topic), Offset::Offset(offset)) = (topic, one.offset())
                    && let Some(known) = offsets.get_mut(&(topic, one.partition()))
                {
                    *known = offset.max(*known);
                }
            }
            Ok(offsets)
        })
        .await
    }
}

/// A record without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Where it stands.
    pub source: Source,
    /// The aggregate that it is about, if its key says so.
    pub key: Option<Uuid>,
    /// The version that it made, if it says so.
    pub version: Option<Version>,
    /// The event, if it says so.
    pub event_id: Option<Uuid>,
}

/// Reads partitions from begin to end, and hands on every record, partition by partition in the order of the log.
///
/// # Errors
/// [`BusError::Unavailable`] also when a partition brings nothing for half a minute.
pub async fn scan<S: Send + 'static>(
    settings: &KafkaSettings,
    extents: &Extents,
    mut state: S,
    each: impl Fn(&mut S, Trace) + Send + 'static,
) -> Result<S, BusError> {
    let (settings, extents) = (settings.clone(), extents.clone());
    let work = move || -> anyhow::Result<S> {
        let consumer: BaseConsumer<Quiet> = consumer_config(&settings, "ops")
            .set("group.id", format!("{}ops", settings.topics.prefix()))
            .set("enable.auto.commit", "false")
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", "65536")
            .create_with_context(Quiet)?;
        let mut left = Offsets::new();
        let mut begin = TopicPartitionList::new();
        for ((topic, partition), extent) in &extents {
            if extent.end > extent.begin {
                let name = settings.topics.name(*topic);
                begin.add_partition_offset(&name, *partition, Offset::Offset(extent.begin))?;
                left.insert((*topic, *partition), extent.end);
            }
        }
        consumer.assign(&begin)?;
        let mut heard = Instant::now();
        while !left.is_empty() {
            let Some(message) = consumer.poll(Duration::from_millis(500)) else {
                if heard.elapsed() > SILENCE {
                    let partitions: Vec<_> = left.keys().collect();
                    return Err(anyhow!("{partitions:?} bring nothing for {SILENCE:?}"));
                }
                continue;
            };
            let message = message?;
            heard = Instant::now();
            let Some(trace) = trace(&settings, &message) else {
                continue;
            };
            let partition = (trace.source.topic, trace.source.partition);
            let Some(end) = left.get(&partition).copied() else {
                continue;
            };
            if trace.source.offset < end {
                each(&mut state, trace);
            }
            if trace.source.offset + 1 >= end {
                left.remove(&partition);
            }
        }
        Ok(state)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(BusError::away)?
        .map_err(BusError::Unavailable)
}

fn trace(settings: &KafkaSettings, message: &BorrowedMessage<'_>) -> Option<Trace> {
    let topic = settings.topics.topic(message.topic())?;
    let text_of = |name: &str| {
        let header = message.headers()?.iter().find(|one| one.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let key = message
        .key()
        .and_then(|key| std::str::from_utf8(key).ok())
        .and_then(|key| Uuid::try_parse(key).ok());
    Some(Trace {
        source: Source {
            topic,
            partition: message.partition(),
            offset: message.offset(),
        },
        key,
        version: text_of(header::AGGREGATE_VERSION).and_then(|text| text.parse().ok()),
        event_id: text_of(header::ID).and_then(|text| Uuid::try_parse(text).ok()),
    })
}

/// Reads topics from given offsets on.
pub struct Replay {
    consumer: Arc<Closing<StreamConsumer<Quiet>>>,
    settings: KafkaSettings,
    reached: Offsets,
}

impl Replay {
    /// Begins.
    ///
    /// # Errors
    /// [`BusError`] of the client.
    pub fn open(settings: &KafkaSettings, from: &Offsets) -> Result<Self, BusError> {
        let consumer: StreamConsumer<Quiet> = consumer_config(settings, "ops")
            .set("group.id", format!("{}ops", settings.topics.prefix()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What is gone before it was read is said, not passed over.
            .set("auto.offset.reset", "error")
            .create_with_context(Quiet)
            .map_err(BusError::creation)?;
        let assign = || -> KafkaResult<()> {
            let mut list = TopicPartitionList::new();
            for ((topic, partition), offset) in from {
                let name = settings.topics.name(*topic);
                list.add_partition_offset(&name, *partition, Offset::Offset(*offset))?;
            }
            consumer.assign(&list)
        };
        assign().map_err(BusError::away)?;
        Ok(Self {
            consumer: Arc::new(Closing::new(consumer)),
            settings: settings.clone(),
            reached: from.clone(),
        })
    }

    /// Waits for a record, then takes what is there at once, at most so many; nothing, when none came in time.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if records are gone that were not read yet, or the client can not go on.
    pub async fn next(&mut self, limit: usize, wait: Duration) -> Result<Vec<TailItem>, BusError> {
        let mut items = Vec::new();
        let consumer = Arc::clone(&self.consumer);
        let mut polled = tokio::time::timeout(wait, consumer.recv()).await.ok();
        while let Some(message) = polled {
            match message {
                Ok(message) => {
                    if let Some(record) = record::read(&self.settings.topics, &message) {
                        let Source {
                            topic,
                            partition,
                            offset,
                        } = record.source;
                        self.reached.insert((topic, partition), offset + 1);
                        items.push(item(record));
                    }
                }
                Err(
                    error @ (KafkaError::MessageConsumptionFatal(_)
                    | KafkaError::MessageConsumption(
                        rdkafka::error::RDKafkaErrorCode::AutoOffsetReset
                        | rdkafka::error::RDKafkaErrorCode::OffsetOutOfRange,
                    )),
                ) => return Err(BusError::Fatal(error.into())),
                Err(error) => tracing::debug!("waiting for Kafka: {error}"),
            }
            if items.len() >= limit {
                break;
            }
            polled = consumer.recv().now_or_never();
        }
        Ok(items)
    }

    /// Where the next record of each partition is expected.
    pub fn reached(&self) -> &Offsets {
        &self.reached
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(BusError::away)?
        .map_err(BusError::away)
}

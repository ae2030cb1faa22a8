//! A log of a test's own.

#![expect(
    clippy::missing_panics_doc,
    reason = "a fixture fails the test by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::{eventually, setting};
use crate::bus::{BusError, Producer, TailItem, delete_topics, ensure_topics, inspect};
use crate::events::{Channel, Encoding, Envelope, Event, RawRecord, Topic, TopicNames, WireRecord};
use crate::runtime::ids;
use crate::runtime::settings::{ConsumerSettings, KafkaSecurity, KafkaSettings, Settings};

/// How long a test waits for something to arrive before it fails.
const BOUND: Duration = Duration::from_secs(30);

/// Topics and groups of a test's own: their names begin with a prefix that nobody else has. Deleted with this value.
pub struct TestBus {
    settings: KafkaSettings,
    producer: Producer,
}

impl TestBus {
    /// Makes all topics, with three partitions each.
    ///
    /// # Panics
    /// If the server can not be reached: start it with `make test`, or `lab/engines/engines up`.
    pub async fn new() -> Self {
        let settings = KafkaSettings {
            brokers: setting("KAFKA_BROKERS", "127.0.0.1:49092"),
            topics: TopicNames::with_prefix(format!("test-{}-", ids::fresh().simple())),
            partitions: 3,
            replication: 1,
            encoding: Encoding::Json,
            security: KafkaSecurity::default(),
        };
        ensure_topics(&settings)
            .await
            .expect("Kafka is up: lab/engines/engines up");
        let producer = Producer::new(&settings, "test").expect("a producer");
        Self { settings, producer }
    }

    /// How to reach the topics, for a program under test.
    pub fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// A consumer loop's settings: one worker, small batches.
    pub fn consumer_settings() -> ConsumerSettings {
        ConsumerSettings {
            workers: 1,
            batch: 100,
            slot: 0,
            session_timeout: Duration::from_secs(6),
            retry_first_wait: Duration::from_secs(1),
            retry_max_elapsed: Duration::from_mins(5),
        }
    }

    /// The settings of a program that works on these topics: one worker, and what is usual for the rest. Addresses of stores lead
    /// nowhere until the test puts its own in.
    pub fn program_settings(&self) -> Settings {
        let nowhere = |name: &str| {
            Some(match name {
                "MYSQL_DSN" => "mysql://shop:shop@127.0.0.1:1/shop".to_owned(),
                "MONGO_URI" => "mongodb://127.0.0.1:1/shop".to_owned(),
                "KAFKA_BROKERS" => self.settings.brokers.clone(),
                _ => return None,
            })
        };
        let settings = Settings::read(&nowhere).expect("the settings are good");
        let (kafka, consumer) = (self.settings.clone(), Self::consumer_settings());
        Settings {
            kafka,
            consumer,
            ..settings
        }
    }

    /// A producer to these topics.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Sends events to the topics of their aggregates, in this order.
    pub async fn send(&self, events: &[Event]) {
        let records = events.iter().map(|event| {
            (
                event.aggregate_type().topic(),
                event.encode(self.settings.encoding),
            )
        });
        self.producer
            .send_all(records.collect())
            .await
            .expect("the events are sent");
    }

    /// Sends a record as it is, well-formed or not.
    pub async fn send_record(&self, topic: Topic, record: WireRecord) {
        self.producer
            .send_all(vec![(topic, record)])
            .await
            .expect("the record is sent");
    }

    /// Sends a record byte for byte, however large it is; the topic takes it.
    pub async fn send_raw(&self, topic: Topic, raw: RawRecord) {
        if raw.bytes() > 500_000 {
            inspect::allow_large_records(&self.settings, topic)
                .await
                .expect("the topic is altered");
        }
        inspect::send_raw(&self.settings, topic, raw)
            .await
            .expect("the record is sent");
    }

    /// Every dead letter of a topic, in order.
    pub async fn dead_letters(&self, topic: Topic) -> Vec<RawRecord> {
        let channel = Channel::DeadLetters(topic);
        read("the dead letters", async || {
            inspect::read_raw(&self.settings, channel).await
        })
        .await
    }

    /// Joins a role's group under the name of its first member, and goes away as soon as it is in.
    pub async fn fence_first_member(&self, settings: &Settings, role: &'static str, topic: Topic) {
        inspect::join_as_first_member(settings, role, topic)
            .await
            .expect("the group takes it in");
    }

    /// Makes a role's group begin again at these offsets, as after a crash before a commit. Waits until
    /// nobody is in the group.
    pub async fn set_back(&self, role: &str, topic: Topic, offsets: BTreeMap<i32, i64>) {
        // A static member stays in its group until its session times out.
        eventually(
            &format!("the group of {role} to be empty"),
            BOUND,
            async || {
                let set = inspect::commit(&self.settings, role, topic, offsets.clone()).await;
                set.ok()
            },
        )
        .await;
    }

    /// Every event in a topic, partition by partition, each in the order of the log.
    ///
    /// # Panics
    /// If a record is no event.
    pub async fn events(&self, topic: Topic) -> Vec<Envelope> {
        let items = read("the topic", async || {
            inspect::read_all(&self.settings, topic).await
        })
        .await;
        items
            .into_iter()
            .map(|item| match item {
                TailItem::Event(envelope) => envelope,
                TailItem::Skipped { source, error, .. } => {
                    panic!("no event at {source:?}: {error}")
                }
            })
            .collect()
    }

    /// Waits until a topic holds at least so many events, and returns them.
    pub async fn wait_for_events(&self, topic: Topic, count: usize) -> Vec<Envelope> {
        let what = format!("{count} events in topic {topic}");
        eventually(&what, BOUND, async || {
            let events = self.events(topic).await;
            (events.len() >= count).then_some(events)
        })
        .await
    }

    /// What a role's group has committed of a topic, by partition.
    pub async fn committed(&self, role: &str, topic: Topic) -> BTreeMap<i32, i64> {
        read("the commits", async || {
            inspect::committed(&self.settings, role, topic).await
        })
        .await
    }

    /// Waits until a role's group has committed everything that is in a topic.
    pub async fn wait_until_consumed(&self, role: &str, topic: Topic) {
        let ends = read("the ends", async || {
            inspect::ends(&self.settings, topic).await
        })
        .await;
        let ends: BTreeMap<_, _> = ends.into_iter().filter(|(_, end)| *end > 0).collect();
        eventually(
            &format!("{role} to commit {ends:?} of {topic}"),
            BOUND,
            async || {
                let committed = self.committed(role, topic).await;
                ends.iter()
                    .all(|(partition, end)| committed.get(partition) == Some(end))
                    .then_some(())
            },
        )
        .await;
    }
}

/// Reads until it is read: for a moment a broker does not know the partitions of a topic that it has just made.
async fn read<T>(what: &str, attempt: impl AsyncFn() -> Result<T, BusError>) -> T {
    let mut problem = None;
    let reading = async {
        loop {
            match attempt().await {
                Ok(read) => return read,
                Err(error) => problem = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let read = tokio::time::timeout(BOUND, reading).await;
    read.unwrap_or_else(|_| panic!("{what} could not be read: {problem:?}"))
}

impl Drop for TestBus {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        // A thread of its own, since a test's runtime can not be waited for from inside.
        let cleanup = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime
                .block_on(delete_topics(
                    &settings,
                    &Channel::all().collect::<Vec<_>>(),
                ))
                .map_err(anyhow::Error::from)
        });
        let deleted = cleanup.join();
        if !std::thread::panicking() {
            deleted
                .expect("the clean-up ends")
                .expect("the topics are deleted");
        }
    }
}

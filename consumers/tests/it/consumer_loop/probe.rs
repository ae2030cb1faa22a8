//! A role that does what a test says and remembers what it was given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shop_core::bus::{HandleError, Outcome, Role, consume};
use shop_core::domain::{EventId, ProductId, StockLevel, Timestamp};
use shop_core::events::{Envelope, Event, EventType, Payload, Topic};
use shop_core::runtime::settings::Settings;
use shop_core::runtime::{Shutdown, ids};
use shop_core::testkit::{TestDb, eventually};
use tokio::task::JoinHandle;

pub const ROLE: &str = "probe";
pub const BOUND: Duration = Duration::from_secs(30);

type Answer = Result<Vec<Outcome>, HandleError>;
type Behaviour = Box<dyn Fn(usize, &[Envelope]) -> Answer + Send + Sync>;

/// Counts its calls from 0, answers as the test says, and remembers the records of every call that did not fail.
pub struct Probe {
    topics: Vec<Topic>,
    behaviour: Behaviour,
    calls: Mutex<usize>,
    handled: Mutex<Vec<Envelope>>,
}

impl Probe {
    pub fn new(
        topic: Topic,
        behaviour: impl Fn(usize, &[Envelope]) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            topics: vec![topic],
            behaviour: Box::new(behaviour),
            calls: Mutex::default(),
            handled: Mutex::default(),
        })
    }

    /// One that takes everything.
    pub fn willing(topic: Topic) -> Arc<Self> {
        Self::new(topic, |_, batch| applied(batch))
    }

    pub fn handled(&self) -> Vec<Envelope> {
        self.handled.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    /// Waits until it was given so many different records.
    pub async fn wait_for(&self, count: usize) {
        eventually(&format!("{count} handled records"), BOUND, async || {
            (first_versions(&self.handled())
                .values()
                .map(Vec::len)
                .sum::<usize>()
                >= count)
                .then_some(())
        })
        .await;
    }
}

impl Role for Probe {
    fn name(&self) -> &'static str {
        ROLE
    }

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    async fn handle(&self, batch: &[Envelope]) -> Answer {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls - 1
        };
        let answer = (self.behaviour)(call, batch)?;
        let good = batch
            .iter()
            .zip(&answer)
            .filter(|(_, one)| !matches!(one, Outcome::Retry(_)));
        self.handled
            .lock()
            .unwrap()
            .extend(good.map(|(envelope, _)| envelope.clone()));
        Ok(answer)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a role's answer")]
pub fn applied(batch: &[Envelope]) -> Answer {
    Ok(vec![Outcome::Applied; batch.len()])
}

/// The versions of each key, each at its first occurrence, in the order in which they were handled.
pub fn first_versions(handled: &[Envelope]) -> BTreeMap<uuid::Uuid, Vec<u32>> {
    let mut versions: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for envelope in handled {
        let seen = versions.entry(envelope.event.aggregate_id()).or_default();
        if !seen.contains(&envelope.event.version()) {
            seen.push(envelope.event.version());
        }
    }
    versions
}

/// Fails unless every key's versions begin with 1, 2, 3 … up to the given one.
pub fn assert_in_order(handled: &[Envelope], keys: &[ProductId], versions: u32) {
    let seen = first_versions(handled);
    assert_eq!(
        seen.len(),
        keys.len(),
        "other keys were handled than were sent"
    );
    for key in keys {
        assert_eq!(
            seen[&key.uuid()],
            (1..=versions).collect::<Vec<_>>(),
            "order of {key}"
        );
    }
}

pub fn keys(count: usize) -> Vec<ProductId> {
    (0..count)
        .map(|_| ProductId::from_uuid(ids::fresh()))
        .collect()
}

/// The event that made a version of a product's level.
pub fn level(product_id: ProductId, version: u32) -> Event {
    let level = StockLevel {
        product_id,
        version,
        on_hand: 7,
        reserved: 0,
        sellable: true,
    };
    Event {
        id: EventId::from_uuid(ids::fresh()),
        kind: EventType::StockLevelChanged,
        time: Timestamp::from_millis(1_700_000_000_000),
        trace: None,
        payload: Payload::StockLevel(level),
    }
}

/// Events of all keys in turn: version after version.
pub fn levels(keys: &[ProductId], versions: std::ops::RangeInclusive<u32>) -> Vec<Event> {
    versions
        .flat_map(|version| keys.iter().map(move |key| level(*key, version)))
        .collect()
}

/// A consumer that runs until it is stopped.
pub struct Running {
    stop: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

pub fn start(role: &Arc<Probe>, db: &TestDb, settings: &Settings) -> Running {
    let (role, settings, stop) = (Arc::clone(role), settings.clone(), Shutdown::new());
    let db = db.db().clone();
    let shutdown = stop.clone();
    let task = tokio::spawn(async move { consume(role, &db, &settings, shutdown, None).await });
    Running { stop, task }
}

impl Running {
    /// Stops it as a signal would, and waits until it has ended.
    pub async fn stop(self) {
        self.stop.request();
        self.ended().await.expect("the consumer ends well");
    }

    /// Waits until it ends.
    pub async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(BOUND, self.task)
            .await
            .expect("it ends in time")
            .expect("no panic")
    }
}

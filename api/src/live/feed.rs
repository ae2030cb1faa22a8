//! The one reader of the topics `order-status` and `stock-status` in this process.
//!
//! Assigned to all partitions at their ends, in no consumer group, so that any copy of the program serves any client.
//! Reads: `order-status`, `stock-status`. Writes: nothing. A repeat is told nobody twice, since watchers compare versions. After
//! anything that may have cost a record, watchers are told to read the view, which is written before a status is published,
//! and those who follow many orders to read the topic.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use shop_core::bus::{BusError, Ping, Tail, TailItem};
use shop_core::domain::OrderId;
use shop_core::events::{Envelope, Payload, Topic};
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::clock;
use shop_core::runtime::metrics::LIVE_STATUS_RECORDS;
use shop_core::runtime::settings::KafkaSettings;

use super::Live;
use super::cursor::{PartitionPlace, TopicPlace, print_of};

/// Kafka's name for this client.
const CLIENT_ID: &str = "api-live";

/// The reader of what is live. Clones share it.
#[derive(Clone, Default)]
pub struct Feed {
    orders: Reader,
    stock: Reader,
}

/// The reader of one topic.
#[derive(Clone, Default)]
struct Reader {
    /// Set while the topic is being read.
    ping: Arc<Mutex<Option<Ping>>>,
}

impl Feed {
    /// A reader that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads until it is dropped; opens a topic again and again while it can not be read.
    pub async fn run(&self, settings: &KafkaSettings, live: &Live) {
        metrics::counter!(LIVE_STATUS_RECORDS).increment(0);
        tokio::join!(
            self.run_orders(settings, live),
            self.run_stock(settings, live)
        );
    }

    async fn run_orders(&self, settings: &KafkaSettings, live: &Live) {
        let mut backoff = Backoff::new();
        loop {
            let mut tail = self
                .orders
                .open(settings, Topic::OrderStatus, &mut backoff)
                .await;
            let error = read_orders(&mut tail, live).await;
            self.orders
                .wait(Topic::OrderStatus, error, &mut backoff)
                .await;
        }
    }

    async fn run_stock(&self, settings: &KafkaSettings, live: &Live) {
        let mut backoff = Backoff::new();
        loop {
            let mut tail = self
                .stock
                .open(settings, Topic::StockStatus, &mut backoff)
                .await;
            let error = read_stock(&mut tail, live).await;
            self.stock
                .wait(Topic::StockStatus, error, &mut backoff)
                .await;
        }
    }

    /// A readiness probe: whether the topics are being read and their broker answers.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn probe(&self) -> Result<(), String> {
        self.orders.probe(Topic::OrderStatus).await?;
        self.stock.probe(Topic::StockStatus).await
    }
}

impl Reader {
    /// Begins to read, as soon as that can be done.
    async fn open(&self, settings: &KafkaSettings, topic: Topic, backoff: &mut Backoff) -> Tail {
        loop {
            match Tail::open(settings, CLIENT_ID, topic).await {
                Ok(tail) => {
                    backoff.reset();
                    self.set(Some(tail.pinger()));
                    return tail;
                }
                Err(error) => self.wait(topic, error, backoff).await,
            }
        }
    }

    async fn wait(&self, topic: Topic, error: BusError, backoff: &mut Backoff) {
        let cause = anyhow::Error::new(error);
        tracing::warn!("live status waits for topic {topic}: {cause:#}");
        self.set(None);
        tokio::time::sleep(backoff.next()).await;
    }

    async fn probe(&self, topic: Topic) -> Result<(), String> {
        let ping = self
            .ping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match ping {
            Some(ping) => ping.probe().await,
            None => Err(format!("topic {topic} is not being read")),
        }
    }

    fn set(&self, ping: Option<Ping>) {
        *self.ping.lock().unwrap_or_else(PoisonError::into_inner) = ping;
    }
}

async fn read_orders(tail: &mut Tail, live: &Live) -> BusError {
    let begins = tail.begins().iter();
    live.updates.begin(TopicPlace {
        at: clock::now(),
        partitions: begins
            .map(|&next| PartitionPlace { next, print: 0 })
            .collect(),
    });
    live.orders.resync(); // whoever came before the ends were known
    loop {
        match next(tail).await {
            Ok(TailItem::Event(Envelope { source, event })) => {
                let record = PartitionPlace {
                    next: source.offset + 1,
                    print: print_of(event.id),
                };
                if let Payload::Order(order) = event.payload {
                    let order = Arc::from(order);
                    live.orders.publish(&order);
                    live.updates
                        .publish(source.partition, record, event.time, &order);
                }
            }
            Ok(TailItem::Skipped { source, key, .. }) => {
                match key.as_deref().and_then(order_of_key) {
                    Some(order_id) => live.orders.lag(order_id),
                    None => live.orders.resync(),
                }
                let next = source.offset + 1;
                let record = PartitionPlace { next, print: 0 };
                live.updates.skip(source.partition, record, clock::now());
            }
            Err(error) => {
                live.updates.end();
                return error;
            }
        }
    }
}

async fn read_stock(tail: &mut Tail, live: &Live) -> BusError {
    live.stock.resync();
    loop {
        match next(tail).await {
            Ok(TailItem::Event(envelope)) => {
                if let Payload::StockLevel(level) = envelope.event.payload {
                    live.stock.publish(&level);
                }
            }
            Ok(TailItem::Skipped { .. }) => live.stock.resync(),
            Err(error) => return error,
        }
    }
}

async fn next(tail: &mut Tail) -> Result<TailItem, BusError> {
    let item = tail.next().await?;
    metrics::counter!(LIVE_STATUS_RECORDS).increment(1);
    Ok(item)
}

/// The order that a record's key names: its bare uuid.
fn order_of_key(key: &str) -> Option<OrderId> {
    OrderId::from_str(&format!("{}{key}", OrderId::PREFIX)).ok()
}

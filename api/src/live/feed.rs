//! The one reader of the topics `order-status` and `stock-status` in this process.
//!
//! Assigned to all partitions at their ends, in no consumer group, so that any copy of the program serves any client.
//! Reads: `order-status`, `stock-status`. Writes: nothing. A repeat is told nobody twice, since watchers compare versions. After
//! anything that may have cost a record, watchers are told to read the view, which is written before a status is published,
//! and those who follow many orders to read the topic. A gap in a partition's offsets is such a thing: nothing else leaves one, since these
//! topics are neither compacted nor written in transactions.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use shop_core::bus::{BusError, Ping, Tail, TailItem};
use shop_core::domain::OrderId;
use shop_core::events::{Envelope, Payload, Source, Topic};
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

/// Which offset each partition's next record has, if none is missing.
struct Expected(Vec<i64>);

impl Expected {
    /// Takes the next record of a partition. Whether it is another one than was expected: those between were lost before they were read here,
    /// or the topic was made anew.
    fn is_jump(&mut self, source: Source) -> bool {
        let Source {
            topic,
            partition,
            offset,
        } = source;
        let index = usize::try_from(partition).ok();
        let Some(expected) = index.and_then(|index| self.0.get_mut(index)) else {
            return false; // one that was added later is not read
        };
        let expected = std::mem::replace(expected, offset + 1);
        let is_jump = offset != expected;
        if is_jump {
            tracing::info!(
                topic = topic.as_str(),
                partition,
                offset,
                "topic {topic}, partition {partition} goes on at offset {offset} instead of {expected}: watchers read the view"
            );
        }
        is_jump
    }
}

async fn read_orders(tail: &mut Tail, live: &Live) -> BusError {
    let mut expected = Expected(tail.begins().to_vec());
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
            Ok(item) => tell_order(item, &mut expected, live),
            Err(error) => {
                live.updates.end();
                return error;
            }
        }
    }
}

/// Tells those who watch an order, and those who follow many, who notice a jump by themselves.
fn tell_order(item: TailItem, expected: &mut Expected, live: &Live) {
    if expected.is_jump(source_of(&item)) {
        live.orders.resync();
    }
    match item {
        TailItem::Event(Envelope { source, event }) => {
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
        TailItem::Skipped { source, key, .. } => {
            match key.as_deref().and_then(order_of_key) {
                Some(order_id) => live.orders.lag(order_id),
                None => live.orders.resync(),
            }
            let next = source.offset + 1;
            let record = PartitionPlace { next, print: 0 };
            live.updates.skip(source.partition, record, clock::now());
        }
    }
}

async fn read_stock(tail: &mut Tail, live: &Live) -> BusError {
    let mut expected = Expected(tail.begins().to_vec());
    live.stock.resync();
    loop {
        match next(tail).await {
            Ok(item) => tell_stock(item, &mut expected, live),
            Err(error) => return error,
        }
    }
}

/// Tells those who watch a product's stock.
fn tell_stock(item: TailItem, expected: &mut Expected, live: &Live) {
    if expected.is_jump(source_of(&item)) {
        live.stock.resync();
    }
    match item {
        TailItem::Event(envelope) => {
            if let Payload::StockLevel(level) = envelope.event.payload {
                live.stock.publish(&level);
            }
        }
        TailItem::Skipped { .. } => live.stock.resync(),
    }
}

/// Where a record stands.
const fn source_of(item: &TailItem) -> Source {
    match item {
        TailItem::Event(Envelope { source, .. }) | TailItem::Skipped { source, .. } => *source,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt as _;
    use shop_core::domain::{Order, ProductId, Scope, StockLevel, Timestamp};
    use shop_core::events::{Event, EventType};
    use shop_core::runtime::Settings;

    use super::*;
    use crate::graphql::error::ApiError;
    use crate::live::hub::Mail;
    use crate::live::hub::tests::an_order_at;
    use crate::live::stock::{ReadStock, StockWatch};

    const PRODUCT: &str = "product_01939f2e-7b1c-7def-8a34-5b6c7d8e9f03";
    const OTHER_PRODUCT: &str = "product_01939f2e-7b1c-7def-8a34-000000000000";
    const OTHER_ORDER: &str = "order_01939f2e-7b1c-7def-8a34-000000000000";

    fn live() -> Live {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        Live::new(&settings.kafka)
    }

    /// A partition and an offset.
    type Place = (i32, i64);

    fn source(topic: Topic, (partition, offset): Place) -> Source {
        Source {
            topic,
            partition,
            offset,
        }
    }

    fn record(source: Source, kind: EventType, payload: Payload) -> TailItem {
        let id = "event_01939f2e-7b1c-7def-8a34-5b6c7d8e9f04";
        let event = Event {
            id: id.parse().expect("an id"),
            kind,
            time: Timestamp::from_millis(0),
            trace: None,
            payload,
        };
        TailItem::Event(Envelope { source, event })
    }

    #[test]
    fn each_partition_is_expected_to_go_on_where_it_was() {
        let mut expected = Expected(vec![5, 0]);
        let mut check = |places: &[Place], jumps: &[Place]| {
            let mut found = places.to_vec();
            found.retain(|place| expected.is_jump(source(Topic::OrderStatus, *place)));
            assert_eq!(found, jumps, "of {places:?}");
        };
        check(&[(0, 5), (1, 0), (1, 1), (0, 6)], &[]);
        check(&[(0, 9), (0, 10), (1, 2)], &[(0, 9)]);
        check(&[(1, 0), (1, 1), (0, 11)], &[(1, 0)]); // made anew
        check(&[(2, 7), (-1, 7), (2, 9)], &[]); // of others nothing is known
    }

    #[test]
    fn who_watches_an_order_reads_the_view_where_records_are_missing() {
        let live = live();
        let mailbox = live.orders.watch(an_order_at(1).id, Scope::Everything);
        let mut expected = Expected(vec![5]);
        for (offset, is_lost) in [(5, false), (6, false), (9, true), (10, false)] {
            let other = Order {
                id: OTHER_ORDER.parse().expect("an id"),
                ..an_order_at(1)
            };
            let source = source(Topic::OrderStatus, (0, offset));
            let other = Payload::Order(Box::new(other));
            let item = record(source, EventType::OrderCreated, other);
            tell_order(item, &mut expected, &live);
            let lost = is_lost.then_some(Mail::Lagged);
            assert_eq!(mailbox.next().now_or_never(), lost, "at {offset}");
            assert_eq!(mailbox.next().now_or_never(), None, "at {offset}");
        }
    }

    /// A view in which a product's level has this version.
    struct View(Arc<AtomicU32>);

    impl ReadStock for View {
        async fn read(&self, id: ProductId) -> Result<Option<StockLevel>, ApiError> {
            Ok(Some(level(id, self.0.load(Ordering::Relaxed))))
        }
    }

    fn level(product_id: ProductId, version: u32) -> StockLevel {
        StockLevel {
            product_id,
            version,
            on_hand: 7,
            reserved: 0,
            sellable: true,
        }
    }

    #[tokio::test]
    async fn who_watches_a_product_reads_the_view_where_records_are_missing() {
        let (live, version) = (live(), Arc::new(AtomicU32::new(1)));
        let id: ProductId = PRODUCT.parse().expect("an id");
        let other: ProductId = OTHER_PRODUCT.parse().expect("an id");
        let mut watch = StockWatch::new(&live.stock, View(Arc::clone(&version)), id);
        watch.next().await.expect("an item").expect("a snapshot");
        version.store(2, Ordering::Relaxed);
        let mut expected = Expected(vec![0]);
        for (offset, is_lost) in [(0, false), (1, false), (5, true), (6, false)] {
            let source = source(Topic::StockStatus, (0, offset));
            let payload = Payload::StockLevel(level(other, 1));
            let item = record(source, EventType::StockLevelChanged, payload);
            tell_stock(item, &mut expected, &live);
            let told = watch.next().now_or_never().flatten();
            let told = told.map(|told| told.expect("no error").1);
            assert_eq!(told, is_lost.then(|| level(id, 2)), "at {offset}");
        }
    }
}

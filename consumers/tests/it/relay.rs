//! The relay against the real servers: everything that was written is sent, in order, by one relay at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shop_consumers::outbox_relay::{LOCK, relay, relay_once};
use shop_core::bus::Producer;
use shop_core::commands::Call;
use shop_core::commands::orders::{CancelOrder, cancel_order};
use shop_core::db::lock::NamedLock;
use shop_core::db::{StoreError, outbox};
use shop_core::domain::order::Actor;
use shop_core::domain::{Order, ProductId, UserId};
use shop_core::events::{Envelope, Topic};
use shop_core::runtime::Shutdown;
use shop_core::runtime::settings::Settings;
use shop_core::testkit::{TestBus, TestDb, eventually};
use tokio::task::JoinHandle;

pub const BOUND: Duration = Duration::from_secs(30);
/// Longer than a machine with much to do may stand still.
const LEASE: Duration = Duration::from_secs(4);
/// Where a lease has to run out.
const BRIEF: Duration = Duration::from_secs(1);

pub async fn cancel(db: &TestDb, order: &Order) {
    let cmd = CancelOrder {
        order_id: order.id,
        actor: Actor::Customer,
        reason: None,
    };
    cancel_order(db.db(), &Call::now(None), cmd)
        .await
        .expect("it can be canceled");
}

pub async fn unsent(db: &TestDb) -> usize {
    let rows = db
        .db()
        .transaction("test", async |conn| outbox::unsent(conn, 10_000).await);
    rows.await
        .map_err(|error: StoreError| error)
        .expect("the outbox is read")
        .len()
}

/// The connection that holds the lock; 0 if none does.
pub async fn leader(db: &TestDb) -> i64 {
    let holder = format!("SELECT COALESCE(IS_USED_LOCK(CONCAT(DATABASE(), '.{LOCK}')), 0)");
    db.count(&holder).await
}

struct Shop {
    db: TestDb,
    bus: TestBus,
    customer: UserId,
    product: ProductId,
}

impl Shop {
    /// A shop with one customer and one product: three events, not sent yet.
    async fn open() -> Self {
        let (db, bus) = (TestDb::new().await, TestBus::new().await);
        let customer = db.customer().await.id;
        let product = db.product(1_000).await.id;
        Self {
            db,
            bus,
            customer,
            product,
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = self.bus.program_settings();
        settings.mysql = self.db.settings().clone();
        settings.outbox.lease = LEASE;
        settings
    }

    async fn order(&self) -> Order {
        self.db.order(self.customer, self.product, 1).await
    }

    async fn cancel(&self, order: &Order) {
        cancel(&self.db, order).await;
    }

    async fn unsent(&self) -> usize {
        unsent(&self.db).await
    }

    async fn wait_until_sent(&self) {
        eventually("an empty outbox", BOUND, async || {
            (self.unsent().await == 0).then_some(())
        })
        .await;
    }

    async fn lock(&self, lease: Duration) -> NamedLock {
        NamedLock::connect(self.db.settings(), LOCK, lease)
            .await
            .expect("MySQL is up")
    }

    async fn leader(&self) -> i64 {
        leader(&self.db).await
    }

    async fn wait_for_leader_other_than(&self, former: i64) -> i64 {
        eventually("a leader", BOUND, async || {
            let leader = self.leader().await;
            (leader != 0 && leader != former).then_some(leader)
        })
        .await
    }

    async fn orders(&self) -> Vec<Envelope> {
        self.bus.events(Topic::Orders).await
    }
}

struct Running {
    stop: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

fn start(settings: &Settings) -> Running {
    let (settings, stop) = (settings.clone(), Shutdown::new());
    let shutdown = stop.clone();
    Running {
        stop,
        task: tokio::spawn(async move { relay(&settings, shutdown, None).await }),
    }
}

impl Running {
    async fn stop(self) {
        self.stop.request();
        let ended = tokio::time::timeout(BOUND, self.task).await;
        ended
            .expect("it ends in time")
            .expect("no panic")
            .expect("it ends well");
    }
}

/// Fails unless each aggregate's versions, at their first occurrences, are 1, 2, 3 …
pub fn assert_in_order(events: &[Envelope]) {
    let mut seen: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for envelope in events {
        let versions = seen.entry(envelope.event.aggregate_id()).or_default();
        if !versions.contains(&envelope.event.version()) {
            versions.push(envelope.event.version());
        }
    }
    for (id, versions) in seen {
        let expected: Vec<u32> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected, "first occurrences of {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_sent_once_in_order_to_the_topic_of_its_aggregate() {
    let shop = Shop::open().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(shop.order().await);
    }
    let mut settings = shop.settings();
    settings.outbox.batch = 3; // more batches than one
    let running = start(&settings);
    for order in &orders {
        shop.cancel(order).await;
    }
    shop.wait_until_sent().await;
    running.stop().await;
    let sent = shop.orders().await;
    assert_eq!(sent.len(), 10, "five created, five canceled");
    assert_in_order(&sent);
    for (topic, events) in [
        (Topic::Users, 1),
        (Topic::Products, 1),
        (Topic::StockLevels, 1),
    ] {
        assert_eq!(
            shop.bus.events(topic).await.len(),
            events,
            "events in {topic}"
        );
    }
    assert_eq!(shop.leader().await, 0, "the lock is given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_relays_one_is_active_and_the_other_takes_over() {
    let shop = Shop::open().await;
    let settings = shop.settings();
    let (first, second) = (start(&settings), start(&settings));
    let leader = shop.wait_for_leader_other_than(0).await;
    for _ in 0..20 {
        shop.order().await;
    }
    shop.wait_until_sent().await;
    assert_eq!(
        shop.orders().await.len(),
        20,
        "two active relays send twice"
    );
    first.stop().await;
    let next = shop.wait_for_leader_other_than(0).await;
    shop.order().await;
    shop.wait_until_sent().await;
    assert_eq!(shop.orders().await.len(), 21);
    second.stop().await;
    assert_eq!(shop.leader().await, 0);
    assert!(leader > 0 && next > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_paused_loses_the_lock_and_marks_nothing_when_it_wakes_up() {
    let shop = Shop::open().await;
    let producer = Producer::new(shop.bus.settings(), "test").expect("a producer");
    let (mut paused, mut other) = (shop.lock(BRIEF).await, shop.lock(BRIEF).await);
    assert!(paused.try_lock().await.unwrap());
    assert!(!other.try_lock().await.unwrap(), "two hold the lock");
    assert_eq!(relay_once(&mut paused, &producer, 100).await.unwrap(), 3);

    let (order, started) = (shop.order().await, Instant::now());
    eventually("the lock of the paused leader", BOUND, async || {
        let Ok(locked) = other.try_lock().await else {
            other = shop.lock(BRIEF).await; // it was silent for a lease too: the machine is slow
            return None;
        };
        locked.then_some(())
    })
    .await;
    assert!(
        started.elapsed() < BRIEF + Duration::from_secs(10),
        "taken over too late"
    );
    relay_once(&mut paused, &producer, 100)
        .await
        .expect_err("a former leader works on");
    assert_eq!(shop.unsent().await, 1, "a former leader marked an event");
    assert_eq!(relay_once(&mut other, &producer, 100).await.unwrap(), 1);
    let sent = shop.orders().await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].event.aggregate_id(), order.id.uuid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crashed_leader_sent_and_did_not_mark_is_sent_again_in_order() {
    let shop = Shop::open().await;
    let producer = Producer::new(shop.bus.settings(), "test").expect("a producer");
    let order = shop.order().await;
    shop.cancel(&order).await;
    let rows = shop
        .db
        .db()
        .transaction("test", async |conn| outbox::unsent(conn, 1_000).await);
    let records = rows
        .await
        .map_err(|error: StoreError| error)
        .expect("the outbox is read");
    let records = records
        .into_iter()
        .map(|(_, event)| (event.aggregate_type.topic(), event.into_record()));
    producer
        .send_all(records.collect())
        .await
        .expect("Kafka is up"); // and here the leader dies

    let mut lock = shop.lock(LEASE).await;
    assert!(lock.try_lock().await.unwrap());
    assert_eq!(relay_once(&mut lock, &producer, 100).await.unwrap(), 5);
    let sent = shop.orders().await;
    let versions: Vec<_> = sent.iter().map(|one| one.event.version()).collect();
    assert_eq!(versions, [1, 2, 1, 2]);
    assert_eq!(
        sent[0].event.id, sent[2].event.id,
        "a repeat has the same id"
    );
    assert_in_order(&sent);
    assert_eq!(shop.unsent().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_connection_is_killed_stands_again_and_goes_on() {
    let shop = Shop::open().await;
    let running = start(&shop.settings());
    let leader = shop.wait_for_leader_other_than(0).await;
    shop.wait_until_sent().await;
    shop.db.execute(&format!("KILL {leader}")).await;
    shop.order().await;
    shop.wait_for_leader_other_than(leader).await;
    shop.wait_until_sent().await;
    running.stop().await;
    assert_in_order(&shop.orders().await);
    let sent = shop.orders().await; // twice, if it was killed before it marked what it had sent
    assert!(sent.iter().all(|one| one.event.version() == 1) && !sent.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_kafka_is_away_rows_stay_commands_work_and_the_leader_stays_leader() {
    let mut shop = Shop::open().await;
    shop.db.leave_outbox();
    let mut settings = shop.settings();
    settings.kafka.brokers = "127.0.0.1:1".to_owned();
    let running = start(&settings);
    let leader = shop.wait_for_leader_other_than(0).await;
    let started = Instant::now();
    eventually("more than two leases to pass", BOUND, async || {
        shop.order().await;
        let long = started.elapsed() > 2 * LEASE + LEASE / 2;
        (long && shop.unsent().await > 3).then_some(())
    })
    .await;
    assert_eq!(
        shop.leader().await,
        leader,
        "waiting for Kafka cost the lock"
    );
    assert!(
        shop.unsent().await > 3,
        "events are marked that nobody acknowledged"
    );
    running.stop().await;
    eventually("the lock to be free", BOUND, async || {
        (shop.leader().await == 0).then_some(())
    })
    .await;
    assert!(shop.unsent().await > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_mysql_is_away_the_relay_waits_and_stops_when_told() {
    let bus = TestBus::new().await;
    let running = start(&bus.program_settings()); // its MySQL is nowhere
    running.stop().await;
}

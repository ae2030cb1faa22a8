//! Parking and dead letters against the real servers: a record that fails closes its key and nothing else.

mod operator;
mod poison;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shop_core::bus::Outcome;
use shop_core::domain::ProductId;
use shop_core::events::{Channel, Encoding, Envelope, RawRecord, Topic};
use shop_core::runtime::Program;
use shop_core::runtime::settings::Settings;
use shop_core::testkit::{TestBus, TestDb, eventually};

use crate::consumer_loop::probe::{
    BOUND, Probe, ROLE, Running, applied, first_versions, keys, level, levels, start,
};

const TOPIC: Topic = Topic::StockLevels;

/// Servers of a test's own, and settings with short waits.
struct Site {
    bus: TestBus,
    db: TestDb,
    settings: Settings,
    /// How the operator's command line reaches MySQL.
    ops_dsn: String,
}

impl Site {
    async fn new() -> Self {
        let (bus, db) = (TestBus::new().await, TestDb::new().await);
        let mut settings = bus.program_settings();
        settings.mysql = db.settings().clone();
        settings.consumer.retry_first_wait = Duration::from_millis(20);
        let ops_dsn = db.settings_as(Program::Ops).await.dsn;
        Self {
            bus,
            db,
            settings,
            ops_dsn,
        }
    }

    fn start(&self, role: &Arc<Probe>) -> Running {
        start(role, &self.db, &self.settings)
    }

    /// How many records are parked; with a condition, those for which it holds.
    async fn parked(&self, condition: &str) -> i64 {
        let query = format!("SELECT COUNT(*) FROM parked_records WHERE {condition}");
        self.db.count(&query).await
    }

    async fn wait_for_parked(&self, condition: &str, count: i64) {
        let what = format!("{count} parked records with {condition}");
        eventually(&what, BOUND, async || {
            (self.parked(condition).await == count).then_some(())
        })
        .await;
    }

    async fn wait_for_letters(&self, count: usize) -> Vec<RawRecord> {
        eventually(&format!("{count} dead letters"), BOUND, async || {
            let letters = self.bus.dead_letters(TOPIC).await;
            (letters.len() >= count).then_some(letters)
        })
        .await
    }

    /// Two keys of one partition, and one of another; version 1 of each is sent.
    async fn three_keys(&self) -> (ProductId, ProductId, ProductId) {
        let keys = keys(20);
        self.bus.send(&levels(&keys, 1..=1)).await;
        let mut of_partition: BTreeMap<i32, Vec<ProductId>> = BTreeMap::new();
        for envelope in self.bus.events(TOPIC).await {
            let key = ProductId::from_uuid(envelope.event.aggregate_id());
            let partition = envelope.source.partition;
            of_partition.entry(partition).or_default().push(key);
        }
        let (partition, two) = of_partition
            .iter()
            .find(|(_, keys)| keys.len() > 1)
            .expect("20 keys in 3 partitions");
        let (_, other) = of_partition
            .iter()
            .find(|(other, _)| *other != partition)
            .expect("20 keys are in more than one partition");
        (two[0], two[1], other[0])
    }
}

/// Fails version 2 of a key for as long as it is told to.
struct Stubborn {
    role: Arc<Probe>,
    heals: Arc<AtomicBool>,
}

impl Stubborn {
    fn about(key: ProductId) -> Self {
        let heals = Arc::new(AtomicBool::new(false));
        let healed = Arc::clone(&heals);
        let role = Probe::new(TOPIC, move |_, batch| {
            let mut stuck = false;
            let outcome = |one: &Envelope| {
                if one.event.aggregate_id() != key.uuid() || healed.load(Ordering::SeqCst) {
                    return Outcome::Applied;
                }
                stuck |= one.event.version() == 2;
                if stuck {
                    Outcome::retry("the shelf is stuck")
                } else {
                    Outcome::Applied
                }
            };
            Ok(batch.iter().map(outcome).collect())
        });
        Self { role, heals }
    }

    fn heal(&self) {
        self.heals.store(true, Ordering::SeqCst);
    }

    fn versions(&self, key: ProductId) -> Vec<u32> {
        first_versions(&self.role.handled())
            .remove(&key.uuid())
            .unwrap_or_default()
    }

    async fn wait_for(&self, key: ProductId, versions: &[u32]) {
        let what = format!("versions {versions:?} of {key}");
        eventually(&what, BOUND, async || {
            (self.versions(key) == versions).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_fails_keeps_its_key_in_order_and_nothing_else() {
    let mut site = Site::new().await;
    let (stuck, neighbour, other) = site.three_keys().await;
    // So long that the key is closed until the test says so.
    site.settings.consumer.retry_first_wait = Duration::from_secs(1);
    let stubborn = Stubborn::about(stuck);
    let running = site.start(&stubborn.role);
    for version in 2..=5 {
        site.bus
            .send(&levels(&[stuck, neighbour, other], version..=version))
            .await;
    }
    for key in [neighbour, other] {
        stubborn.wait_for(key, &[1, 2, 3, 4, 5]).await;
    }
    // The log is consumed to its end while the key is closed.
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    assert_eq!(stubborn.versions(stuck), [1]);
    assert_eq!(site.parked("state = 'FAILING'").await, 1);
    assert_eq!(site.parked("state = 'BEHIND'").await, 3);
    stubborn.heal();
    stubborn.wait_for(stuck, &[1, 2, 3, 4, 5]).await;
    site.wait_for_parked("TRUE", 0).await;
    // And it is open again.
    site.bus.send(&[level(stuck, 6)]).await;
    stubborn.wait_for(stuck, &[1, 2, 3, 4, 5, 6]).await;
    running.stop().await;
    assert_eq!(site.bus.dead_letters(TOPIC).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_between_parking_and_offset_nothing_is_parked_twice_or_out_of_order() {
    let mut site = Site::new().await;
    let (stuck, neighbour, _) = site.three_keys().await;
    site.settings.consumer.retry_first_wait = Duration::from_mins(1);
    let stubborn = Stubborn::about(stuck);
    site.bus.send(&levels(&[stuck, neighbour], 2..=4)).await;
    let before: BTreeMap<i32, i64> = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
    for _ in 0..2 {
        let running = site.start(&stubborn.role);
        stubborn.wait_for(neighbour, &[1, 2, 3, 4]).await;
        site.bus.wait_until_consumed(ROLE, TOPIC).await;
        running.stop().await;
        assert_eq!(stubborn.versions(stuck), [1]);
        assert_eq!(site.parked("TRUE").await, 3);
        site.bus.set_back(ROLE, TOPIC, before.clone()).await;
    }
    site.db
        .execute("UPDATE parked_records SET next_try_at = NOW(3) WHERE state = 'FAILING'")
        .await;
    stubborn.heal();
    let running = site.start(&stubborn.role);
    stubborn.wait_for(stuck, &[1, 2, 3, 4]).await;
    site.wait_for_parked("TRUE", 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_partition_over_takes_what_is_parked_of_it() {
    let mut site = Site::new().await;
    let (stuck, _, _) = site.three_keys().await;
    site.settings.consumer.retry_first_wait = Duration::from_secs(1);
    let stubborn = Stubborn::about(stuck);
    let running = site.start(&stubborn.role);
    site.bus.send(&levels(&[stuck], 2..=4)).await;
    site.wait_for_parked("TRUE", 3).await;
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
    // Another member: it gets the partitions when the first one's session is over.
    site.settings.consumer.slot = 1;
    let successor = Probe::willing(TOPIC);
    let running = site.start(&successor);
    site.bus.send(&levels(&[stuck], 5..=6)).await;
    successor.wait_for(5).await;
    let versions = first_versions(&successor.handled())[&stuck.uuid()].clone();
    assert_eq!(versions, [2, 3, 4, 5, 6]);
    site.wait_for_parked("TRUE", 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_to_blame_for_its_batch_is_found_and_parked() {
    let site = Site::new().await;
    let (bad, neighbour, other) = site.three_keys().await;
    let role = Probe::new(TOPIC, move |_, batch| {
        let is_bad =
            |one: &Envelope| one.event.aggregate_id() == bad.uuid() && one.event.version() == 2;
        if batch.iter().any(is_bad) {
            let error = anyhow::anyhow!("column full").context("failed to write");
            return Err(shop_core::bus::HandleError::of_a_record(error));
        }
        applied(batch)
    });
    site.bus
        .send(&levels(&[bad, neighbour, other], 2..=3))
        .await;
    let running = site.start(&role);
    let letters = site.wait_for_letters(1).await;
    site.wait_for_parked("state = 'DEAD'", 1).await;
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
    let versions = first_versions(&role.handled());
    assert_eq!(versions[&neighbour.uuid()], [1, 2, 3]);
    assert_eq!(versions[&other.uuid()], [1, 2, 3]);
    assert_eq!(versions[&bad.uuid()], [1]);
    let header = |name| letters[0].header(name);
    assert_eq!(header("dlq_cause"), Some("failed to write"));
    assert_eq!(header("dlq_causes"), Some("failed to write\ncolumn full"));
}

//! The relay as a process: what a pause and a kill do to it.

use std::process::{Child, Command};

use shop_core::events::Topic;
use shop_core::runtime::Program;
use shop_core::testkit::{TestBus, TestDb, eventually};

use super::relay::{BOUND, assert_in_order, leader, unsent};

/// A relay, killed when this is dropped.
struct Process(Child);

impl Process {
    async fn start(db: &TestDb, bus: &TestBus) -> Self {
        let settings = db.settings_as(Program::OutboxRelay).await;
        let child = Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
            .env("ENV", "development")
            .env("LOG", "warn")
            .env("MYSQL_DSN", &settings.dsn)
            .env("KAFKA_BROKERS", &bus.settings().brokers)
            .env("TOPIC_PREFIX", bus.settings().topics.prefix())
            .env("RELAY_LEASE", "2s")
            .env("HEALTH_ADDR", "127.0.0.1:0")
            .spawn();
        Self(child.expect("the relay starts"))
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "SIG{name} was not delivered");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn wait_for_leader_other_than(db: &TestDb, former: i64) -> i64 {
    eventually("a leader", BOUND, async || {
        Some(leader(db).await).filter(|&leader| leader != 0 && leader != former)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_paused_under_load_is_replaced_and_does_no_harm_when_it_wakes_up() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let (customer, product) = (db.customer().await.id, db.product(1_000).await.id);
    let write = async || {
        let order = db.order(customer, product, 1).await;
        super::relay::cancel(&db, &order).await;
    };
    let paused = Process::start(&db, &bus).await;
    let first = wait_for_leader_other_than(&db, 0).await;
    let standby = Process::start(&db, &bus).await;
    write().await;
    bus.wait_for_events(Topic::Orders, 2).await;

    paused.signal("STOP");
    let second = eventually("another leader", BOUND, async || {
        write().await;
        Some(leader(&db).await).filter(|&leader| leader != 0 && leader != first)
    })
    .await;
    eventually("the backlog to be sent", BOUND, async || {
        (unsent(&db).await == 0).then_some(())
    })
    .await;

    paused.signal("CONT");
    for _ in 0..50 {
        write().await;
    }
    drop(standby); // kill -9: only the one that woke up is left
    let third = wait_for_leader_other_than(&db, second).await;
    write().await;
    eventually("an empty outbox", BOUND, async || {
        (unsent(&db).await == 0).then_some(())
    })
    .await;
    assert_ne!(third, first, "its old connection is gone");
    let sent = bus.events(Topic::Orders).await;
    assert_in_order(&sent);
    let distinct: std::collections::HashSet<_> = sent.iter().map(|one| one.event.id).collect();
    let written = db
        .count("SELECT COUNT(*) FROM outbox WHERE aggregate_type = 'order'")
        .await;
    assert_eq!(
        i64::try_from(distinct.len()),
        Ok(written),
        "an event is missing in the topic"
    );
}

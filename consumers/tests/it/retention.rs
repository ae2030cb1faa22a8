//! Old rows are deleted in batches, young and unsent ones never.

use std::time::Duration;

use shop_consumers::outbox_relay::{prune_once, relay};
use shop_core::runtime::settings::RetentionSettings;
use shop_core::runtime::{Program, Shutdown};
use shop_core::testkit::{TestBus, TestDb, eventually};

use super::relay::BOUND;

fn settings(batch: usize) -> RetentionSettings {
    RetentionSettings {
        outbox: Duration::from_hours(1),
        inbox: Duration::from_hours(3),
        idempotency: Duration::from_hours(3),
        interval: Duration::from_millis(10),
        batch,
    }
}

/// Events sent 0, 30, 60, 90 … minutes ago, handled just then too, and one that is not sent at all, the oldest.
async fn history(rows: usize) -> TestDb {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    db.execute(&format!(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, version, event_type, content_type, payload, created_at, \
         processed_at) WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
         SELECT UUID_TO_BIN(UUID()), 'user', UUID_TO_BIN(UUID()), 1, 'user.created', 'application/json', 'x', \
         NOW(3) - INTERVAL 2 DAY, IF(n = {rows}, NULL, NOW(3) - INTERVAL n * 30 MINUTE) FROM n; \
         INSERT INTO processed_events SELECT 'test', event_id, processed_at FROM outbox WHERE processed_at IS NOT NULL"
    ))
    .await;
    db
}

async fn left(db: &TestDb) -> (i64, i64, i64) {
    (
        db.count("SELECT COUNT(*) FROM outbox").await,
        db.count("SELECT COUNT(*) FROM outbox WHERE processed_at IS NULL")
            .await,
        db.count("SELECT COUNT(*) FROM processed_events").await,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_deletes_one_batch_of_what_is_old_enough() {
    let db = history(20).await;
    assert_eq!(left(&db).await, (21, 1, 20));
    let mut rounds = vec![left(&db).await];
    while prune_once(db.db(), &settings(5))
        .await
        .expect("MySQL is up")
    {
        rounds.push(left(&db).await);
    }
    rounds.push(left(&db).await);
    // Sent an hour ago or more: 18; handled three hours ago or more: 14.
    assert_eq!(
        rounds,
        [(21, 1, 20), (16, 1, 15), (11, 1, 10), (6, 1, 6), (3, 1, 6)]
    );
    let youngest = "SELECT COUNT(*) FROM outbox WHERE processed_at > NOW(3) - INTERVAL 1 HOUR";
    assert_eq!(db.count(youngest).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leading_relay_prunes_and_stops_when_told() {
    let db = history(100).await;
    let bus = TestBus::new().await;
    let mut settings_of_relay = bus.program_settings();
    settings_of_relay.mysql = db.settings_as(Program::OutboxRelay).await;
    settings_of_relay.retention = settings(20);
    let stop = Shutdown::new();
    let shutdown = stop.clone();
    let running = tokio::spawn(async move { relay(&settings_of_relay, shutdown, None).await });
    eventually("old rows to be gone", BOUND, async || {
        // The two of the last hour, and the one that was not sent until now.
        (left(&db).await == (3, 0, 6)).then_some(())
    })
    .await;
    stop.request();
    let ended = tokio::time::timeout(BOUND, running).await;
    ended
        .expect("in time")
        .expect("no panic")
        .expect("it ends well");
}

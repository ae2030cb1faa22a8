//! What a look into the outbox costs while an open transaction keeps `InnoDB` from purging what was marked, in rows and pages
//! read, and that what commits late is sent all the same.

use std::time::{Duration, Instant};

use shop_consumers::outbox_relay::position::Position;
use shop_consumers::outbox_relay::{LOCK, Outlook, relay_step};
use shop_core::bus::Producer;
use shop_core::db::lock::NamedLock;
use shop_core::db::{StoreError, outbox};
use shop_core::domain::limits::BATCH_BYTES;
use shop_core::events::{Encoding, Event, Topic};
use shop_core::testkit::{Histories, Reads, Session, TestBus, TestDb, eventually};
use tokio::sync::Notify;

use super::relay::assert_in_order;

const ROWS: usize = 6_000;
const BATCH: usize = 500;
/// The payload of an event that many of do not fit into one look.
const LARGE: usize = 400_000;
/// What one look may read beside the rows that it returns, however many were sent before.
const MOST_ROWS: i64 = 30;
const MOST_PAGES: i64 = 120;
/// How often a look's cost is taken.
const LOOKS: usize = 20;
/// How long one looks for a moment in which nobody else makes the server read.
const QUIET_WITHIN: Duration = Duration::from_mins(1);

/// A transaction that sees the past, and has changed something: nothing that is marked from now on is purged before its end.
async fn hold_purge_back(db: &TestDb) -> Session {
    let mut session = db.session().await;
    session
        .run(
            "SET SESSION transaction_isolation = 'REPEATABLE-READ'; START TRANSACTION WITH CONSISTENT SNAPSHOT; \
             INSERT INTO processed_events VALUES ('test', REPEAT('x', 16), NOW(3)); SELECT COUNT(*) FROM outbox",
        )
        .await;
    session
}

async fn lock(db: &TestDb) -> NamedLock {
    let lease = Duration::from_secs(20);
    let mut lock = NamedLock::connect(db.settings(), LOCK, lease)
        .await
        .expect("MySQL is up");
    assert!(lock.try_lock().await.expect("an answer"));
    lock
}

/// Unsent events of users that nobody knows.
async fn append(db: &TestDb, rows: usize) {
    append_of(db, rows, 400).await;
}

async fn append_of(db: &TestDb, rows: usize, bytes: usize) {
    db.execute(&format!(
        "SET SESSION cte_max_recursion_depth = {rows}; \
         INSERT INTO outbox (event_id, aggregate_type, aggregate_id, version, event_type, content_type, payload, created_at) \
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) \
         SELECT UUID_TO_BIN(UUID()), 'user', UUID_TO_BIN(UUID()), 1, 'user.created', 'application/json', REPEAT('x', {bytes}), \
         NOW(3) FROM n"
    ))
    .await;
}

/// What one look reads: the least of several, for others use the server too.
async fn cost_of_a_look(
    lock: &mut NamedLock,
    read: impl AsyncFn(&mut NamedLock) -> usize,
    found: usize,
) -> Reads {
    let until_now = async |lock: &mut NamedLock| {
        let reads = lock.run(async |conn| Reads::until_now(conn).await);
        reads.await.expect("counters")
    };
    let mut least = Reads {
        rows: i64::MAX,
        pages: i64::MAX,
    };
    for _ in 0..LOOKS {
        let before = until_now(lock).await;
        assert_eq!(read(lock).await, found, "so many are to be sent");
        let after = until_now(lock).await;
        least.rows = least.rows.min(after.rows - before.rows);
        least.pages = least.pages.min(after.pages - before.pages);
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_reads_no_more_however_much_is_marked_and_not_purged() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let producer = Producer::new(bus.settings(), "test").expect("a producer");
    append(&db, ROWS).await;
    let open = hold_purge_back(&db).await;
    let mut lock = lock(&db).await;
    let mut outlook = Outlook::survey(&mut lock).await.expect("a survey");
    for _ in 0..ROWS / BATCH {
        let sent = relay_step(&mut lock, &producer, &mut outlook.position, BATCH).await;
        assert_eq!(sent.expect("Kafka is up").events, BATCH);
    }

    let position = outlook.position.clone();
    let by_position = async |lock: &mut NamedLock| {
        relay_step(lock, &producer, &mut position.clone(), BATCH)
            .await
            .expect("MySQL is up")
            .events
    };
    let mut ours = cost_of_a_look(&mut lock, &by_position, 0).await;
    let give_up = Instant::now() + QUIET_WITHIN;
    while ours.pages > MOST_PAGES && Instant::now() < give_up {
        ours = cost_of_a_look(&mut lock, &by_position, 0).await;
    }
    // The controls: by the index of unsent rows, all that is marked is walked over; by the numbers alone, all is read.
    let by_index = async |lock: &mut NamedLock| {
        let rows = lock.run(async |conn| outbox::unsent(conn, BATCH).await);
        rows.await.expect("MySQL is up").len()
    };
    let by_index = cost_of_a_look(&mut lock, by_index, 0).await;
    let by_number = async |lock: &mut NamedLock| {
        relay_step(lock, &producer, &mut Position::unknown(), BATCH)
            .await
            .expect("MySQL is up")
            .events
    };
    let by_number = cost_of_a_look(&mut lock, by_number, 0).await;
    println!("one look: {ours:?}; by the index {by_index:?}; by the numbers {by_number:?}");
    assert!(
        ours.rows <= MOST_ROWS && ours.pages <= MOST_PAGES,
        "a look reads {ours:?}"
    );
    assert!(
        by_index.pages > 10 * MOST_PAGES,
        "nothing is held back: {by_index:?}"
    );
    let all = i64::try_from(ROWS).expect("few");
    assert!(by_number.rows >= all, "{by_number:?}");
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_learns_what_is_sent_and_reads_it_no_more() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let producer = Producer::new(bus.settings(), "test").expect("a producer");
    append(&db, ROWS).await;
    db.execute("UPDATE outbox SET processed_at = NOW(3) WHERE seq <> 17")
        .await;
    db.execute(
        "UPDATE outbox SET processed_at = NOW(3) - INTERVAL 1 HOUR WHERE seq BETWEEN 18 AND 1000",
    )
    .await;
    let mut lock = lock(&db).await;
    let mut outlook = Outlook::survey(&mut lock).await.expect("a survey");
    let by_position = async |lock: &mut NamedLock| {
        let ranges = outlook.position.ranges();
        let among = ranges.as_slice();
        let rows = lock.run(async move |conn| outbox::unsent_among(conn, among, BATCH).await);
        rows.await.expect("MySQL is up").events.len()
    };
    let reads = cost_of_a_look(&mut lock, by_position, 1).await; // number 17
    assert!(reads.rows <= MOST_ROWS, "a look reads {reads:?}");
    let sent = relay_step(&mut lock, &producer, &mut outlook.position, BATCH).await;
    assert_eq!(sent.expect("Kafka is up").events, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_late_is_sent_at_the_next_look_and_before_what_follows_it() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let producer = Producer::new(bus.settings(), "test").expect("a producer");
    let mut lock = lock(&db).await;
    let mut outlook = Outlook::survey(&mut lock).await.expect("a survey");
    let mut histories = Histories::new(7);
    // Once with one leader; once with another that takes over while the number is given out and its transaction open; once
    // with nothing older left in the table by then.
    for (takes_over, is_pruned) in [(false, false), (true, false), (true, true)] {
        let history = std::iter::repeat_with(|| histories.order())
            .find(|history| history.len() >= 3)
            .expect("chance makes a long one");
        let [first, second, third] = [0, 1, 2].map(|n| histories.order_event(&history[n]));
        append_events(&db, &[first]).await;
        let (written, may_commit) = (Notify::new(), Notify::new());
        let late = db.db().transaction("late", async |tx| {
            outbox::append(tx, Encoding::Json, std::slice::from_ref(&second)).await?;
            written.notify_one();
            may_commit.notified().await;
            Ok::<_, StoreError>(())
        });
        let meanwhile = async {
            written.notified().await;
            append(&db, 5).await;
            let sent = send_all(&mut lock, &producer, &mut outlook).await;
            assert_eq!(sent, 6, "all but the late one");
            if is_pruned {
                let pruned = db.db().transaction("test", async |tx| {
                    outbox::prune(tx, Duration::ZERO, 1_000).await
                });
                let pruned = pruned.await.map_err(|error: StoreError| error);
                assert!(pruned.expect("nothing is locked") > 0);
                append(&db, 1).await;
            }
            if takes_over {
                outlook = Outlook::survey(&mut lock).await.expect("a survey");
            }
            may_commit.notify_one();
        };
        let (late, ()) = tokio::join!(late, meanwhile);
        late.expect("a late commit");
        append_events(&db, &[third]).await;
        let sent = send_all(&mut lock, &producer, &mut outlook).await;
        assert_eq!(
            sent,
            2 + usize::from(is_pruned),
            "the late one and what follows it"
        );
    }
    let sent = bus.events(Topic::Orders).await;
    assert_eq!(sent.len(), 9);
    assert_in_order(&sent);
}

async fn append_events(db: &TestDb, events: &[Event]) {
    let appended = db.db().transaction("test", async |tx| {
        outbox::append(tx, Encoding::Json, events).await
    });
    appended
        .await
        .map_err(|error: StoreError| error)
        .expect("MySQL is up");
}

async fn send_all(lock: &mut NamedLock, producer: &Producer, outlook: &mut Outlook) -> usize {
    let mut all = 0;
    loop {
        let sent = relay_step(lock, producer, &mut outlook.position, 2).await;
        match sent.expect("Kafka is up").events {
            0 => return all,
            sent => all += sent,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_sets_back_is_sent_again() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let producer = Producer::new(bus.settings(), "test").expect("a producer");
    append(&db, 10).await;
    let mut lock = lock(&db).await;
    let mut outlook = Outlook::survey(&mut lock).await.expect("a survey");
    let sent = relay_step(&mut lock, &producer, &mut outlook.position, 100).await;
    assert_eq!(sent.expect("sent").events, 10);
    db.execute("UPDATE outbox SET processed_at = NULL WHERE seq = 4")
        .await;
    let again = eventually("the row", super::relay::BOUND, async || {
        outlook.sweep(&mut lock).await.expect("a sweep");
        let sent = relay_step(&mut lock, &producer, &mut outlook.position, 100).await;
        Some(sent.expect("sent").events).filter(|sent| *sent > 0)
    });
    assert_eq!(again.await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_carries_no_more_bytes_than_a_batch_may_and_leaves_nothing_out() {
    let (db, bus) = (TestDb::new().await, TestBus::new().await);
    let producer = Producer::new(bus.settings(), "test").expect("a producer");
    for (rows, bytes) in [(3, 400), (30, LARGE), (5, 400), (12, LARGE)] {
        append_of(&db, rows, bytes).await;
    }
    let mut lock = lock(&db).await;
    let mut outlook = Outlook::survey(&mut lock).await.expect("a survey");
    let mut looks = Vec::new();
    loop {
        let sent = relay_step(&mut lock, &producer, &mut outlook.position, 1_000).await;
        let sent = sent.expect("Kafka is up");
        looks.push(sent.events);
        let out_of_turn = "SELECT COUNT(*) FROM outbox WHERE processed_at IS NOT NULL AND seq > \
             (SELECT COALESCE(MIN(seq), 1000) FROM outbox WHERE processed_at IS NULL)";
        assert_eq!(db.count(out_of_turn).await, 0, "sent before an older one");
        if !sent.there_is_more {
            break;
        }
    }
    let fit = BATCH_BYTES / LARGE;
    assert_eq!(
        looks,
        [3 + fit, 30 - fit + 5 + fit - (30 - fit), 42 - 2 * fit]
    );
    assert_eq!(super::relay::unsent(&db).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_is_carried_however_large_it_is() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    append_of(&db, 1, BATCH_BYTES + 1).await;
    append(&db, 1).await;
    let mut lock = lock(&db).await;
    let found = lock
        .run(async |conn| outbox::unsent_among(conn, &[0..=u64::MAX], 10).await)
        .await
        .expect("MySQL is up");
    let [(_, event)] = &found.events[..] else {
        panic!("{} events", found.events.len())
    };
    assert_eq!(event.payload.len(), BATCH_BYTES + 1);
    assert!(found.there_is_more);
}

//! The loop against the real broker: nothing is lost, nothing is passed over, everything is in order.

pub mod probe;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use probe::{
    BOUND, Probe, ROLE, applied, assert_in_order, first_versions, keys, level, levels, start,
};
use shop_core::bus::Outcome;
use shop_core::events::wire::header;
use shop_core::events::{Encoding, Envelope, Topic};
use shop_core::testkit::{TestBus, TestDb, eventually};

const TOPIC: Topic = Topic::StockLevels;

/// Where two batches meet: each waits a moment for another to be in hand at the same time.
#[derive(Default)]
struct Meeting {
    in_hand: Mutex<u32>,
    arrived: Condvar,
    met: AtomicBool,
}

impl Meeting {
    fn attend(&self) {
        let mut in_hand = self.in_hand.lock().unwrap();
        *in_hand += 1;
        self.arrived.notify_all();
        let alone = |in_hand: &mut u32| *in_hand < 2 && !self.met.load(Ordering::SeqCst);
        let moment = Duration::from_millis(200);
        in_hand = self
            .arrived
            .wait_timeout_while(in_hand, moment, alone)
            .unwrap()
            .0;
        if *in_hand >= 2 {
            self.met.store(true, Ordering::SeqCst);
            self.arrived.notify_all();
        }
        *in_hand -= 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_workers_work_at_once_and_keep_the_order_of_every_key() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let keys = keys(30);
    let meeting = Arc::new(Meeting::default());
    let attended = Arc::clone(&meeting);
    let role = Probe::new(TOPIC, move |_, batch| {
        tokio::task::block_in_place(|| attended.attend());
        applied(batch)
    });
    let mut settings = bus.program_settings();
    settings.consumer.workers = 3;
    let running = start(&role, &db, &settings);
    let mut versions = 0;
    eventually("two batches in hand at the same time", BOUND, async || {
        versions += 1;
        bus.send(&levels(&keys, versions..=versions)).await;
        meeting.met.load(Ordering::SeqCst).then_some(())
    })
    .await;
    bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
    assert_in_order(&role.handled(), &keys, versions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_nothing_is_lost_and_nothing_committed() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let keys = keys(12);
    bus.send(&levels(&keys, 1..=3)).await;
    let away = Arc::new(AtomicBool::new(true));
    let store = Arc::clone(&away);
    let role = Probe::new(TOPIC, move |_, batch| {
        if store.load(Ordering::SeqCst) {
            return Err(anyhow!("the store is away").into());
        }
        applied(batch)
    });
    let mut settings = bus.program_settings();
    settings.consumer.batch = 7;
    let running = start(&role, &db, &settings);
    eventually("a second try", BOUND, async || {
        (role.calls() >= 2).then_some(())
    })
    .await;
    bus.send(&levels(&keys, 4..=6)).await;
    assert!(
        bus.committed(ROLE, TOPIC).await.is_empty(),
        "an offset passed an unhandled record"
    );
    away.store(false, Ordering::SeqCst);
    assert_eq!(db.count("SELECT COUNT(*) FROM parked_records").await, 0);
    role.wait_for(72).await;
    bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
    assert_in_order(&role.handled(), &keys, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_at_random_lose_nothing_and_keep_the_order_of_every_key() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let keys = keys(15);
    bus.send(&levels(&keys, 1..=20)).await;
    let chance = Mutex::new(fastrand::Rng::with_seed(7));
    let role = Probe::new(TOPIC, move |_, batch| {
        let mut chance = chance.lock().unwrap();
        if chance.u8(..10) == 0 {
            return Err(anyhow!("the store is away").into());
        }
        // A role that can not handle a record leaves what follows of the same key, too.
        let mut stuck = HashSet::new();
        let outcome = |one: &Envelope| {
            let key = one.event.aggregate_id();
            if stuck.contains(&key) || chance.u8(..40) == 0 {
                stuck.insert(key);
                return Outcome::retry("not now");
            }
            Outcome::Applied
        };
        Ok(batch.iter().map(outcome).collect())
    });
    let mut settings = bus.program_settings();
    settings.consumer.workers = 3;
    settings.consumer.batch = 25;
    settings.consumer.retry_first_wait = Duration::from_millis(20);
    let running = start(&role, &db, &settings);
    role.wait_for(300).await;
    bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
    assert_in_order(&role.handled(), &keys, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_version_does_not_know_is_applied_by_its_state_or_passed_over() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let key = keys(1)[0];
    let rename = |version, word: &str| {
        let mut record = level(key, version).encode(Encoding::Json);
        for (name, value) in &mut record.headers {
            if *name == header::TYPE {
                word.clone_into(value);
            }
        }
        record
    };
    bus.send_record(TOPIC, rename(1, "stock.counted_by_robots"))
        .await;
    bus.send(&[level(key, 2)]).await;
    let role = Probe::willing(TOPIC);
    let running = start(&role, &db, &bus.program_settings());
    role.wait_for(2).await;
    running.stop().await;
    let kinds: Vec<_> = role
        .handled()
        .iter()
        .map(|one| one.event.kind.to_string())
        .collect();
    assert_eq!(kinds, ["stock.counted_by_robots", "stock.level_changed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_commits_and_a_restart_goes_on_there_at_once() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let keys = keys(9);
    let mut settings = bus.program_settings();
    settings.consumer.session_timeout = Duration::from_secs(30);
    bus.send(&levels(&keys, 1..=2)).await;
    let role = Probe::willing(TOPIC);
    let running = start(&role, &db, &settings);
    role.wait_for(18).await;
    running.stop().await;
    let committed: i64 = bus.committed(ROLE, TOPIC).await.values().sum();
    assert_eq!(
        committed, 18,
        "the end of shutdown is the end of the commit"
    );

    bus.send(&levels(&keys, 3..=4)).await;
    let again = Probe::willing(TOPIC);
    let started = Instant::now();
    let running = start(&again, &db, &settings);
    again.wait_for(18).await;
    let took = started.elapsed();
    running.stop().await;
    assert_eq!(
        again.handled().len(),
        18,
        "a record came twice, or was lost"
    );
    assert!(
        first_versions(&again.handled())
            .values()
            .all(|versions| versions == &[3, 4])
    );
    // A member under another name would wait until the session of the former one runs out.
    let session = settings.consumer.session_timeout;
    assert!(took < session / 2, "the restart took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_share_the_partitions_and_one_takes_over_from_the_other() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let keys = keys(12);
    let mut settings = bus.program_settings();
    let (first, second) = (Probe::willing(TOPIC), Probe::willing(TOPIC));
    let running_first = start(&first, &db, &settings);
    bus.send(&levels(&keys, 1..=1)).await;
    first.wait_for(12).await;

    settings.consumer.slot = 1;
    let running_second = start(&second, &db, &settings);
    let mut version = 1;
    eventually("the second copy's share", BOUND, async || {
        version += 1;
        bus.send(&levels(&keys, version..=version)).await;
        (!second.handled().is_empty()).then_some(())
    })
    .await;
    running_first.stop().await;
    version += 1;
    bus.send(&levels(&keys, version..=version)).await;
    bus.wait_until_consumed(ROLE, TOPIC).await;
    running_second.stop().await;

    let all: Vec<_> = first
        .handled()
        .into_iter()
        .chain(second.handled())
        .collect();
    for (key, mut versions) in first_versions(&all) {
        versions.sort_unstable();
        assert_eq!(
            versions,
            (1..=version).collect::<Vec<_>>(),
            "records of {key} were lost"
        );
    }
    for role in [&first, &second] {
        for (key, versions) in first_versions(&role.handled()) {
            assert!(
                versions.is_sorted(),
                "records of {key} were out of order: {versions:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_with_the_same_slot_is_told_so() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let settings = bus.program_settings();
    let role = Probe::willing(TOPIC);
    bus.send(&levels(&keys(3), 1..=1)).await;
    let first = start(&role, &db, &settings);
    role.wait_for(3).await;
    let second = start(&Probe::willing(TOPIC), &db, &settings);
    let error = first
        .ended()
        .await
        .expect_err("the member's name was taken over");
    assert!(
        error.to_string().contains("CONSUMER_SLOT"),
        "unhelpful: {error:#}"
    );
    second.stop().await;
}

/// A broker that dies while it answers a join has given the member's name to a member that never hears of it. Found by the
/// fault suite: the program ended, and said that another process was to blame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_name_was_taken_by_nobody_joins_again() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let settings = bus.program_settings();
    let role = Probe::willing(TOPIC);
    bus.send(&levels(&keys(3), 1..=1)).await;
    let running = start(&role, &db, &settings);
    role.wait_for(3).await;
    bus.fence_first_member(&settings, ROLE, TOPIC).await;
    bus.send(&levels(&keys(3), 1..=2)).await;
    role.wait_for(9).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_waits_and_stops_when_told() {
    let (bus, db) = (TestBus::new().await, TestDb::new().await);
    let mut settings = bus.program_settings();
    settings.kafka.brokers = "127.0.0.1:1".to_owned();
    let role = Probe::willing(TOPIC);
    let running = start(&role, &db, &settings);
    running.stop().await;
    assert_eq!(role.calls(), 0);
}

//! projector: views and statuses, driven without a broker, and once with one.

mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shop_consumers::projector::{self, Projector};
use shop_core::bus::{Outcome, Role};
use shop_core::domain::{Order, User};
use shop_core::events::{Encoding, Envelope, Event, Payload, Source, Topic, WireRecord};
use shop_core::runtime::settings::MongoSettings;
use shop_core::runtime::{Health, Program, Runtime, Settings, Shutdown};
use shop_core::testkit::{Histories, TestBus, TestDb, TestViews, eventually};
use shop_core::views::Views;

use self::memory::{Memory, Sink};
use crate::roles::{Shuffle, handle};

/// How long the program may take.
const BOUND: Duration = Duration::from_secs(30);
const COLLECTIONS: [&str; 4] = ["users", "products", "stock_levels", "orders"];

/// Events as their topics would bring them, one partition each.
fn envelopes(events: impl IntoIterator<Item = Event>) -> Vec<Envelope> {
    let envelope = |(event, offset): (Event, i64)| {
        let topic = event.aggregate_type().topic();
        Envelope {
            source: Source {
                topic,
                partition: 0,
                offset,
            },
            event,
        }
    };
    events.into_iter().zip(0..).map(envelope).collect()
}

fn order_events(histories: &mut Histories, orders: &[Order]) -> Vec<Event> {
    orders
        .iter()
        .map(|order| histories.order_event(order))
        .collect()
}

/// A history of one order with at least so many versions.
fn long_order(histories: &mut Histories, versions: usize) -> Vec<Order> {
    std::iter::repeat_with(|| histories.order())
        .find(|history| history.len() >= versions)
        .expect("chance makes one")
}

/// Every event of a small shop, aggregate by aggregate.
fn shop(histories: &mut Histories) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..4 {
        let (users, products) = (histories.user(), histories.product());
        let (levels, orders) = (histories.stock_level(), histories.order());
        events.extend(users.iter().map(|user| histories.user_event(user)));
        events.extend(
            products
                .iter()
                .map(|product| histories.product_event(product)),
        );
        events.extend(
            levels
                .iter()
                .map(|level| histories.stock_level_event(level)),
        );
        events.extend(order_events(histories, &orders));
    }
    events
}

async fn dump(views: &TestViews) -> Vec<String> {
    let mut dump = Vec::new();
    for collection in COLLECTIONS {
        dump.push(format!("{:?}", views.raw(collection).await));
    }
    dump
}

fn expected_statuses(batch: &[Envelope]) -> Vec<(Topic, WireRecord)> {
    batch
        .iter()
        .filter(|envelope| matches!(envelope.event.payload, Payload::Order(_)))
        .map(|envelope| (Topic::OrderStatus, envelope.event.encode(Encoding::Json)))
        .collect()
}

#[tokio::test]
async fn every_order_event_has_a_status_after_its_view_is_written() {
    let views = TestViews::new().await;
    let memory = Memory::new(&views, 0, 0);
    let role = Projector::new(views.views().clone(), Sink(memory.clone()), Encoding::Json);
    let mut histories = Histories::new(1);
    let (one, two) = (long_order(&mut histories, 4), long_order(&mut histories, 3));
    let mut events = order_events(&mut histories, &one);
    events.extend(order_events(&mut histories, &two));
    let batch = envelopes(events);
    assert_eq!(
        handle(&role, &batch).await,
        vec![Outcome::Applied; batch.len()]
    );
    assert_eq!(memory.take(), expected_statuses(&batch));

    // The crash between statuses and offsets: all of it comes again.
    let state = dump(&views).await;
    assert_eq!(
        handle(&role, &batch).await,
        vec![Outcome::Duplicate; batch.len()]
    );
    assert_eq!(
        memory.take(),
        expected_statuses(&batch),
        "a repeat's statuses are published too"
    );
    assert_eq!(dump(&views).await, state);
}

#[tokio::test]
async fn a_crash_between_view_and_statuses_loses_no_status() {
    for taken_before_failure in [0, 2] {
        let views = TestViews::new().await;
        let memory = Memory::new(&views, 1, taken_before_failure);
        let role = Projector::new(views.views().clone(), Sink(memory.clone()), Encoding::Json);
        let mut histories = Histories::new(2);
        let history = long_order(&mut histories, 4);
        let batch = envelopes(order_events(&mut histories, &history));
        let error = role.handle(&batch).await.expect_err("the sink is broken");
        assert!(
            error.to_string().contains("failed to publish statuses"),
            "{error}"
        );
        let state = dump(&views).await;
        assert_eq!(memory.take().len(), taken_before_failure);
        // Nothing was acknowledged to the log, so it brings the batch again.
        assert_eq!(
            handle(&role, &batch).await,
            vec![Outcome::Duplicate; batch.len()]
        );
        assert_eq!(memory.take(), expected_statuses(&batch));
        assert_eq!(dump(&views).await, state);
    }
}

#[tokio::test]
async fn shuffled_and_doubled_events_end_in_the_views_of_the_undisturbed_run() {
    for seed in 0..4 {
        let mut histories = Histories::new(seed);
        let events = shop(&mut histories);
        let straight = TestViews::new().await;
        let memory = Memory::new(&straight, 0, 0);
        let role = Projector::new(straight.views().clone(), Sink(memory), Encoding::Json);
        handle(&role, &envelopes(events.clone())).await;

        let shuffled = TestViews::new().await;
        let memory = Memory::new(&shuffled, 0, 0);
        let role = Projector::new(
            shuffled.views().clone(),
            Sink(memory.clone()),
            Encoding::Json,
        );
        let mut doubled: Vec<Event> = [events.clone(), events].concat();
        let mut shuffle = Shuffle::seeded(seed);
        shuffle.shuffle(&mut doubled);
        let mut rest = envelopes(doubled);
        let mut statuses = Vec::new();
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(1 + shuffle.below(20)));
            handle(&role, &rest).await;
            statuses.extend(expected_statuses(&rest));
            rest = later;
        }
        assert_eq!(dump(&shuffled).await, dump(&straight).await, "seed {seed}");
        let mut taken = memory.take();
        taken.retain(|(topic, _)| *topic == Topic::OrderStatus);
        assert_eq!(taken, statuses, "seed {seed}");
    }
}

#[tokio::test]
async fn the_newest_level_of_each_product_is_told_once_per_batch() {
    let views = TestViews::new().await;
    let memory = Memory::new(&views, 0, 0);
    let role = Projector::new(
        views.views().clone(),
        Sink(memory.clone()),
        Encoding::Binary,
    );
    let mut histories = Histories::new(5);
    let (mut events, mut newest) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let levels = histories.stock_level();
        let of_product: Vec<Event> = levels
            .iter()
            .map(|level| histories.stock_level_event(level))
            .collect();
        let last = of_product.last().expect("one at least");
        newest.push((Topic::StockStatus, last.encode(Encoding::Binary)));
        events.extend(of_product);
    }
    handle(&role, &envelopes(events)).await;
    assert_eq!(memory.take(), newest);
}

#[tokio::test]
async fn nothing_is_published_and_nothing_counts_while_the_store_is_away() {
    let there = TestViews::new().await;
    let memory = Memory::new(&there, 0, 0);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it")
        .port();
    let timeout = Duration::from_millis(300);
    let settings = MongoSettings {
        uri: format!("mongodb://127.0.0.1:{port}/shop"),
        pool_size: 4,
        timeout,
    };
    let away = Views::connect(&settings, "test").await.expect("an address");
    let role = Projector::new(away, Sink(memory.clone()), Encoding::Json);
    let batch = envelopes(shop(&mut Histories::new(6)));
    let started = Instant::now();
    let error = role.handle(&batch).await.expect_err("nobody is there");
    assert!(
        error
            .to_string()
            .starts_with("failed to write the views: MongoDB"),
        "{error}"
    );
    assert!(
        started.elapsed() < 100 * timeout,
        "took {:?}",
        started.elapsed()
    );
    assert_eq!(memory.take(), []);
}

#[tokio::test]
async fn a_record_that_the_store_refuses_is_to_blame_and_not_the_store() {
    let views = TestViews::new().await;
    let memory = Memory::new(&views, 0, 0);
    let role = Projector::new(views.views().clone(), Sink(memory.clone()), Encoding::Json);
    let mut histories = Histories::new(7);
    let first = histories.user().swap_remove(0);
    let huge = User {
        name: "x".repeat(17 * 1024 * 1024),
        ..histories.user().swap_remove(0)
    };
    let last = histories.user().swap_remove(0);
    let order = histories.order().swap_remove(0);
    let events: Vec<Event> = [&first, &huge, &last]
        .iter()
        .map(|user| histories.user_event(user))
        .collect();
    let batch = envelopes(events.into_iter().chain([histories.order_event(&order)]));
    let error = role.handle(&batch).await.expect_err("one is too large");
    assert!(error.is_of_a_record(), "{error}");
    // The loop then brings them one by one.
    for (place, one) in batch.iter().enumerate() {
        let alone = role.handle(std::slice::from_ref(one)).await;
        assert_eq!(alone.is_err(), place == 1, "{alone:?}");
    }
    let mut found = views
        .users(&[first.id, huge.id, last.id])
        .await
        .expect("a read");
    let mut written = [first, last];
    found.sort_by_key(|user| user.id);
    written.sort_by_key(|user| user.id);
    assert_eq!(found, written);
    assert_eq!(memory.take().len(), 1);
}

async fn start(
    views: &TestViews,
    bus: &TestBus,
    db: &TestDb,
) -> (Shutdown, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let mut settings = Settings::read(&|_| None).expect("the defaults are good");
    settings.mongo = views.settings().clone();
    settings.kafka = bus.settings().clone();
    settings.mysql = db.settings_as(Program::Projector).await;
    settings.consumer.retry_first_wait = Duration::from_millis(50);
    let shutdown = Shutdown::new();
    let runtime = Runtime {
        program: Program::Projector,
        settings: Arc::new(settings),
        health: Health::new(shutdown.clone()),
        shutdown: shutdown.clone(),
    };
    (shutdown, tokio::spawn(projector::run(runtime)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_carries_the_log_into_views_and_statuses_and_goes_on_where_it_stopped() {
    let (views, bus) = (TestViews::new().await, TestBus::new().await);
    let db = TestDb::new().await;
    let mut histories = Histories::new(8);
    let mut orders: Vec<Order> = Vec::new();
    for _ in 0..2 {
        let (shutdown, program) = start(&views, &bus, &db).await;
        let history = long_order(&mut histories, 4);
        bus.send(&order_events(&mut histories, &history)).await;
        let order = history.last().expect("a last state");
        eventually(
            "the last version of the order in its view",
            BOUND,
            async || {
                let state = views.order_state(order.id).await.expect("a read");
                state.filter(|state| state.version() == order.version)
            },
        )
        .await;
        // Its statuses may still be on their way: what is in hand is finished.
        shutdown.request();
        program.await.expect("no panic").expect("it drains");
        orders.push(order.clone());
        let statuses = bus.events(Topic::OrderStatus).await;
        for order in &orders {
            let versions: Vec<u32> = statuses
                .iter()
                .filter(|status| status.event.aggregate_id() == order.id.uuid())
                .map(|status| status.event.version())
                .collect();
            assert_eq!(
                versions,
                (1..=order.version).collect::<Vec<_>>(),
                "lost, or told twice"
            );
        }
        bus.wait_until_consumed(projector::NAME, Topic::Orders)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_good_state_makes_poison_obsolete() {
    let (views, bus, db) = (
        TestViews::new().await,
        TestBus::new().await,
        TestDb::new().await,
    );
    let mut histories = Histories::new(9);
    let history = long_order(&mut histories, 3);
    let events = order_events(&mut histories, &history[..3]);
    let mut poison = events[1].encode(Encoding::Json);
    poison.value.truncate(20);
    bus.send(&events[..1]).await;
    bus.send_record(Topic::Orders, poison.clone()).await;
    let (shutdown, program) = start(&views, &bus, &db).await;
    let parked = async || db.count("SELECT COUNT(*) FROM parked_records").await;
    eventually("a dead letter", BOUND, async || {
        let dead = db.count("SELECT COUNT(*) FROM parked_records WHERE state = 'DEAD'");
        (dead.await == 1).then_some(())
    })
    .await;
    bus.send(&events[2..]).await;
    let order = &history[2];
    eventually("the later state in its view", BOUND, async || {
        let state = views.order_state(order.id).await.expect("a read");
        state.filter(|state| state.version() == order.version)
    })
    .await;
    eventually("nothing is parked any more", BOUND, async || {
        (parked().await == 0).then_some(())
    })
    .await;
    let letters = bus.dead_letters(Topic::Orders).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value(), poison.value);
    shutdown.request();
    program.await.expect("no panic").expect("it drains");
}

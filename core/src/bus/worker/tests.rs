//! What a worker does with a batch.

use std::sync::Mutex;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::bus::{HandleError, Polled, Producer, inspect};
use crate::domain::{EventId, ProductId, StockLevel, Timestamp};
use crate::events::{DecodeError, Encoding, Envelope, Event, EventType, Payload, RawRecord, Topic};
use crate::runtime::ids;

const TOPIC: Topic = Topic::StockLevels;

/// Answers as it is told, and remembers the offsets that it was given.
#[derive(Default)]
struct Probe {
    seen: Mutex<Vec<i64>>,
    called: tokio::sync::Notify,
    answer: Mutex<Option<Result<Vec<Outcome>, HandleError>>>,
    later_states_suffice: bool,
}

impl Role for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn topics(&self) -> &[Topic] {
        &[TOPIC]
    }

    fn later_states_suffice(&self) -> bool {
        self.later_states_suffice
    }

    async fn handle(&self, batch: &[Envelope]) -> Result<Vec<Outcome>, HandleError> {
        let offsets = batch.iter().map(|one| one.source.offset);
        self.seen.lock().unwrap().extend(offsets);
        self.called.notify_one();
        let answer = self.answer.lock().unwrap().take();
        answer.unwrap_or_else(|| Ok(vec![Outcome::Applied; batch.len()]))
    }
}

/// A worker whose broker is nowhere, as is the table of what is parked: what it does with a batch needs neither.
fn worker() -> Worker<Probe> {
    let settings = settings("127.0.0.1:1");
    let db = nowhere(&settings);
    Worker::new(Arc::default(), db, &settings, 0).unwrap()
}

fn settings(brokers: &str) -> Settings {
    let settings = Settings::read(&|name| match name {
        "KAFKA_BROKERS" => Some(brokers.to_owned()),
        "MYSQL_DSN" => Some("mysql://shop:shop@127.0.0.1:1/shop".to_owned()),
        _ => None,
    });
    settings.unwrap()
}

fn nowhere(settings: &Settings) -> Db {
    Db::new(&settings.mysql, settings.kafka.encoding).unwrap()
}

/// A record of a key of its own.
fn record(partition: i32, offset: i64) -> Polled {
    let product_id = ProductId::from_uuid(ids::fresh());
    let level = StockLevel {
        product_id,
        version: 1,
        on_hand: 7,
        reserved: 0,
        sellable: true,
    };
    let event = Event {
        id: EventId::from_uuid(ids::fresh()),
        kind: EventType::StockLevelChanged,
        time: Timestamp::from_millis(0),
        trace: None,
        payload: Payload::StockLevel(level),
    };
    let source = Source {
        topic: TOPIC,
        partition,
        offset,
    };
    let raw = RawRecord {
        key: Some(event.aggregate_id().as_bytes().to_vec()),
        ..RawRecord::default()
    };
    Polled {
        source,
        raw,
        event: Ok(event),
    }
}

fn batch(records: Vec<Polled>) -> Batch {
    Batch {
        records,
        polled_at: Instant::now(),
    }
}

/// Where partitions are held, once every wait is over.
fn held(worker: &Worker<Probe>) -> Vec<(i32, i64)> {
    let mut held: Vec<_> = worker
        .holds
        .due(Instant::now() + Duration::from_mins(1))
        .into_iter()
        .map(|((_, partition), from)| (partition, from))
        .collect();
    held.sort_unstable();
    held
}

#[tokio::test]
async fn a_batch_that_is_too_old_is_read_again_and_not_handled() {
    let mut worker = worker();
    let mut old = batch(vec![record(0, 5), record(1, 8), record(0, 6)]);
    old.polled_at -= worker.stale + Duration::from_millis(1);
    worker.work(old).await;
    assert!(
        worker.role.seen.lock().unwrap().is_empty(),
        "an old batch was handled"
    );
    assert_eq!(held(&worker), [(0, 5), (1, 8)]);
    assert_eq!(
        worker.holds.due(Instant::now()).len(),
        2,
        "read again at once"
    );
}

#[tokio::test]
async fn nothing_passes_poison_that_can_not_be_parked() {
    let mut worker = worker();
    let mut poison = record(0, 6);
    poison.event = Err(DecodeError::MissingHeader("ce_id"));
    worker
        .work(batch(vec![
            record(0, 5),
            poison,
            record(0, 7),
            record(1, 8),
        ]))
        .await;
    assert_eq!(
        *worker.role.seen.lock().unwrap(),
        [5, 7, 8],
        "other keys are handled"
    );
    assert_eq!(held(&worker), [(0, 6)], "and come again");
}

#[tokio::test]
async fn nothing_passes_a_record_to_be_tried_again_that_can_not_be_parked() {
    let mut worker = worker();
    let retry = Outcome::retry("not yet");
    let outcomes = vec![Outcome::Applied, retry, Outcome::Applied, Outcome::Refused];
    *worker.role.answer.lock().unwrap() = Some(Ok(outcomes));
    worker
        .work(batch(vec![
            record(0, 5),
            record(0, 6),
            record(0, 7),
            record(1, 8),
        ]))
        .await;
    assert_eq!(held(&worker), [(0, 6)]);
}

#[tokio::test]
async fn a_batch_that_fails_because_of_a_record_is_handled_one_by_one() {
    let mut worker = worker();
    let blame = HandleError::of_a_record(anyhow::anyhow!("too large"));
    *worker.role.answer.lock().unwrap() = Some(Err(blame));
    worker
        .work(batch(vec![record(0, 5), record(1, 8), record(0, 6)]))
        .await;
    let seen = worker.role.seen.lock().unwrap().clone();
    assert_eq!(seen, [5, 8, 6, 5, 8, 6]);
    assert_eq!(held(&worker), [], "each of them is fine alone");
}

#[tokio::test]
async fn nothing_is_handled_while_it_is_not_known_what_is_parked() {
    let mut worker = worker();
    worker.lot.take_over((TOPIC, 0));
    worker
        .work(batch(vec![record(0, 5), record(1, 8), record(0, 6)]))
        .await;
    assert_eq!(*worker.role.seen.lock().unwrap(), [8]);
    assert_eq!(held(&worker), [(0, 5)]);
}

#[tokio::test]
async fn a_batch_that_failed_is_read_again_from_its_first_records() {
    let mut worker = worker();
    *worker.role.answer.lock().unwrap() = Some(Err(anyhow::anyhow!("away").into()));
    worker
        .work(batch(vec![record(0, 5), record(1, 8), record(0, 6)]))
        .await;
    assert_eq!(held(&worker), [(0, 5), (1, 8)]);
    assert!(
        !worker.holds.admit(record(2, 3).source, Instant::now()),
        "the store is left alone"
    );
}

#[tokio::test]
async fn after_a_batch_that_failed_fewer_are_handled_at_once_until_some_went_well() {
    let mut worker = worker();
    let most = worker.size.now();
    *worker.role.answer.lock().unwrap() = Some(Err(anyhow::anyhow!("too slow").into()));
    worker.work(batch(vec![record(0, 5)])).await;
    assert_eq!(worker.size.now(), most / 2);
    worker.work(batch(vec![record(0, 5)])).await;
    let now = worker.size.now();
    assert!((most / 2 + 1..most).contains(&now), "{now}");
}

#[tokio::test]
async fn a_role_that_gives_too_few_outcomes_has_handled_nothing() {
    let mut worker = worker();
    *worker.role.answer.lock().unwrap() = Some(Ok(vec![Outcome::Applied]));
    worker.work(batch(vec![record(0, 5), record(0, 6)])).await;
    assert_eq!(held(&worker), [(0, 5)]);
}

#[tokio::test]
async fn after_the_broker_was_away_it_goes_on_where_it_was() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC.as_str(), 1, 1).unwrap();
    let settings = settings(&cluster.bootstrap_servers());
    let producer = Producer::new(&settings.kafka, "test").unwrap();
    let send = async |offset| {
        let event = record(0, offset).event.unwrap().encode(Encoding::Json);
        producer.send_all(vec![(TOPIC, event)]).await.unwrap();
    };
    // It goes on without knowing what is parked.
    let role = Arc::new(Probe {
        later_states_suffice: true,
        ..Probe::default()
    });
    let seen = async |count: usize| {
        let arrived = async {
            while role.seen.lock().unwrap().len() < count {
                role.called.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), arrived)
            .await
            .expect("the records arrive");
    };
    let stop = Shutdown::new();
    let worker = Worker::new(Arc::clone(&role), nowhere(&settings), &settings, 0).unwrap();
    let running = tokio::spawn(worker.run(stop.clone()));
    send(0).await;
    seen(1).await;
    cluster.broker_down(1).unwrap();
    cluster.broker_up(1).unwrap();
    send(1).await;
    seen(2).await;
    stop.request();
    running.await.unwrap().unwrap();
    assert_eq!(*role.seen.lock().unwrap(), [0, 1]);
    let committed = inspect::committed(&settings.kafka, "probe", TOPIC)
        .await
        .unwrap();
    assert_eq!(committed[&0], 2);
}

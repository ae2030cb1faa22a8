//! The same request twice at once, or again after the first was dropped.

use std::time::{Duration, Instant};

use shop_core::commands::CommandError;
use shop_core::commands::orders::create_order;
use shop_core::commands::users::{delete_user, update_user};
use shop_core::db::{StoreError, users};
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{Order, Refusal, UserId};
use shop_core::runtime::ids;
use shop_core::testkit::{TestDb, eventually};

use super::{everything, key, order_of, renamed, under};
use crate::orders::refusal_of;

const BOUND: Duration = Duration::from_secs(30);

/// What a twin is answered that comes again as long as it is told that another is under way: on a busy machine it may wait
/// longer for its turn than it is let.
async fn until_its_turn<T, F: Future<Output = Result<T, CommandError>>>(
    ask: impl Fn() -> F,
) -> Result<T, CommandError> {
    let asked = async {
        loop {
            match ask().await {
                Err(CommandError::Refused(Refusal::IdempotencyKeyInUse { .. })) => {}
                done => break done,
            }
        }
    };
    let asked = tokio::time::timeout(BOUND, asked).await;
    asked.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_twins_have_one_effect_and_one_answer() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let (customer, product) = (db.customer().await, db.product(5).await);
    for _ in 0..5 {
        let key = key();
        let before = db.count("SELECT COUNT(*) FROM outbox").await;
        let twins = (0..50).map(|_| {
            let (pool, call) = (db.db().clone(), under(&key));
            tokio::spawn(async move {
                let order = || create_order(&pool, &call, order_of(customer.id, product.id));
                until_its_turn(order).await
            })
        });
        let mut answers: Vec<Order> = Vec::new();
        for twin in twins.collect::<Vec<_>>() {
            answers.push(twin.await.expect("no panic").expect("an order"));
        }
        assert!(answers.iter().all(|order| *order == answers[0]));
        let effects = db.count("SELECT COUNT(*) FROM outbox").await - before;
        assert_eq!(effects, 1);
    }
    assert_eq!(db.count("SELECT COUNT(*) FROM orders").await, 5);
}

/// When the first of many is refused, the others must not stand in each other's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_twins_that_are_refused_leave_nothing() {
    let db = TestDb::new().await;
    let unknown = UserId::from_uuid(ids::fresh());
    let mut codes = Vec::new();
    for _ in 0..5 {
        let key = key();
        let twins = (0..50).map(|_| {
            let (pool, call) = (db.db().clone(), under(&key));
            tokio::spawn(async move { until_its_turn(|| delete_user(&pool, &call, unknown)).await })
        });
        for twin in twins.collect::<Vec<_>>() {
            codes.push(refusal_of(twin.await.expect("no panic")).code());
        }
    }
    assert!(
        codes.iter().all(|code| *code == RefusalCode::NotFound),
        "{codes:?}"
    );
    assert_eq!(db.count("SELECT COUNT(*) FROM idempotency_keys").await, 0);
}

/// Holds a lock on a user until it is told to let go.
struct Holder {
    let_go: tokio::sync::oneshot::Sender<()>,
    holding: tokio::task::JoinHandle<Result<(), StoreError>>,
}

impl Holder {
    async fn of(db: &TestDb, id: UserId) -> Self {
        let (locked, is_locked) = tokio::sync::oneshot::channel();
        let (let_go, told) = tokio::sync::oneshot::channel::<()>();
        let pool = db.db().clone();
        let once = tokio::sync::Mutex::new(Some((locked, told)));
        let holding = tokio::spawn(async move {
            pool.transaction("test", async |tx| {
                users::lock(tx, id).await?;
                let (locked, told) = once.lock().await.take().expect("the first try");
                locked.send(()).expect("a listener");
                let _ = told.await;
                Ok::<_, StoreError>(())
            })
            .await
        });
        is_locked.await.expect("the lock");
        Self { let_go, holding }
    }

    async fn let_go(self) {
        self.let_go.send(()).expect("the holder");
        self.holding.await.expect("no panic").expect("a commit");
    }
}

/// Waits until a key is claimed by a transaction that has not ended.
async fn claimed(db: &TestDb) {
    eventually("the claim", BOUND, async || {
        let probe = db.db().transaction("test", async |tx| {
            let probe = "SELECT 1 FROM idempotency_keys FOR UPDATE NOWAIT";
            diesel_async::RunQueryDsl::execute(diesel::sql_query(probe), tx).await?;
            Ok::<_, StoreError>(())
        });
        probe.await.is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_in_flight_is_waited_for_a_moment_and_then_told_so() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let user = db.customer().await;
    let key = key();
    let bound = async || db.count("SELECT @@SESSION.innodb_lock_wait_timeout").await;
    let usual = bound().await;
    let holder = Holder::of(&db, user.id).await;
    let first = tokio::spawn({
        let (pool, call, cmd) = (db.db().clone(), under(&key), renamed(&user, "Eve"));
        async move { update_user(&pool, &call, cmd).await }
    });
    claimed(&db).await;
    let begun = Instant::now();
    let twin = update_user(db.db(), &under(&key), renamed(&user, "Eve")).await;
    let waited = begun.elapsed();
    let refused = refusal_of(twin);
    assert_eq!(refused.code(), RefusalCode::IdempotencyKeyInUse);
    assert_eq!(refused.field_path(), ["idempotencyKey"]);
    assert!(
        waited > Duration::from_millis(500) && waited.as_secs() < usual.unsigned_abs(),
        "{waited:?}"
    );
    holder.let_go().await;
    let first = first.await.expect("no panic").expect("renamed");
    let again = update_user(db.db(), &under(&key), renamed(&user, "Eve")).await;
    assert_eq!((again.expect("the same"), first.version), (first, 2));
    // The bound was for the twin alone: other waits are as long as they were.
    assert_ne!(usual, 1);
    for _ in 0..16 {
        assert_eq!(bound().await, usual, "on one of the pool's connections");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_dropped_before_its_commit_leaves_nothing() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let user = db.customer().await;
    let before = everything(&db).await;
    let key = key();
    let holder = Holder::of(&db, user.id).await;
    let first = tokio::spawn({
        let (pool, call, cmd) = (db.db().clone(), under(&key), renamed(&user, "Eve"));
        async move { update_user(&pool, &call, cmd).await }
    });
    claimed(&db).await;
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    holder.let_go().await;
    eventually("MySQL to see that the client is gone", BOUND, async || {
        let again = update_user(db.db(), &under(&key), renamed(&user, "Eve")).await;
        match again {
            Ok(user) => {
                assert_eq!(user.version, 2);
                Some(())
            }
            Err(CommandError::Refused(Refusal::IdempotencyKeyInUse { .. })) => None,
            Err(other) => panic!("{other:?}"),
        }
    })
    .await;
    assert_ne!(everything(&db).await, before);
    assert_eq!(db.count("SELECT COUNT(*) FROM outbox").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whenever_a_client_goes_its_retry_finds_one_effect() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let (customer, product) = (db.customer().await, db.product(5).await);
    let mut tasks = Vec::new();
    for round in 0..60_u64 {
        let (pool, key) = (db.db().clone(), key());
        let cmd = order_of(customer.id, product.id);
        tasks.push(tokio::spawn(async move {
            // Some stay, some go at once, most go at some moment up to 0.3 s.
            let patience = match round % 10 {
                0 => BOUND,
                _ => Duration::from_micros(round * round * 80),
            };
            let call = under(&key);
            let first = create_order(&pool, &call, cmd.clone());
            let first = tokio::time::timeout(patience, first).await;
            let again = until_its_turn(|| create_order(&pool, &call, cmd.clone())).await;
            let again = again.expect("an order");
            if let Ok(Ok(first)) = first {
                assert_eq!(again, first);
            }
        }));
    }
    for task in tasks {
        task.await.expect("one answer");
    }
    assert_eq!(db.count("SELECT COUNT(*) FROM orders").await, 60);
    let events = "SELECT COUNT(*) FROM outbox WHERE event_type = 'order.created'";
    assert_eq!(db.count(events).await, 60);
}

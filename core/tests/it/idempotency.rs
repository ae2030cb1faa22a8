//! Commands under an idempotency key: one effect, one answer, whatever comes twice, at once, late or half.

use std::time::{Duration, Instant};

use shop_core::commands::orders::{
    CancelOrder, CreateOrder, UpdateOrderStatus, cancel_order, create_order, delete_order,
    pay_order, update_order_status,
};
use shop_core::commands::products::{
    CreateProduct, UpdateProduct, create_product, delete_product, update_product,
};
use shop_core::commands::stock::{AdjustStock, AdjustmentReason, adjust_stock};
use shop_core::commands::users::{CreateUser, UpdateUser, create_user, delete_user, update_user};
use shop_core::commands::{Call, CommandError};
use shop_core::db::idempotency::{self, Key};
use shop_core::db::{StoreError, users};
use shop_core::domain::order::{Actor, NewLine};
use shop_core::domain::product::ProductChange;
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{
    Money, Order, OrderStatus, Principal, ProductId, Refusal, RequestKey, User, UserId,
};
use shop_core::runtime::ids;
use shop_core::testkit::{TestDb, eventually};

use crate::orders::{payment, refusal_of};
use crate::settle::reserve_and_confirm;

const BOUND: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);
const TABLES: [&str; 4] = ["stock", "orders", "stock_orders", "stock_movements"];

fn key() -> Key {
    Key {
        principal: Principal::ANYONE,
        key: RequestKey::from_uuid(ids::fresh()),
        ttl: DAY,
    }
}

fn under(key: &Key) -> Call {
    Call {
        key: Some(key.clone()),
        ..Call::now(None)
    }
}

fn expecting(version: u32) -> Call {
    Call {
        expected_version: Some(version),
        ..Call::now(None)
    }
}

fn ada(email: &str) -> CreateUser {
    CreateUser {
        name: "Ada".into(),
        email: email.into(),
    }
}

fn mug() -> CreateProduct {
    let currency = "EUR".parse().expect("a currency");
    CreateProduct {
        name: "Mug".into(),
        description: String::new(),
        price: Money {
            minor: 250,
            currency,
        },
        stock: 5,
    }
}

fn order_of(customer_id: UserId, product_id: ProductId) -> CreateOrder {
    let line = NewLine {
        product_id,
        quantity: 1,
        expected_unit_price: None,
    };
    CreateOrder {
        customer_id,
        lines: vec![line],
    }
}

fn renamed(user: &User, name: &str) -> UpdateUser {
    UpdateUser {
        id: user.id,
        name: Some(name.into()),
        email: None,
    }
}

/// All state and how much was ever emitted.
async fn everything(db: &TestDb) -> String {
    let mut lines = vec![db.dump(&TABLES).await];
    for sum in [
        "SELECT COALESCE(SUM(version), 0) FROM users",
        "SELECT COALESCE(SUM(version), 0) FROM products",
        "SELECT COUNT(*) FROM order_transitions",
        "SELECT COUNT(*) FROM payments",
        "SELECT COUNT(*) FROM outbox",
        "SELECT COUNT(*) FROM idempotency_keys",
    ] {
        lines.push(format!("{sum}: {}", db.count(sum).await));
    }
    lines.join("\n")
}

/// Every command a client can send, each under a key of its own; what each answered. Lived again with the same keys, it
/// must answer the same and do nothing.
async fn life(db: &TestDb, keys: &[Key], again: bool) -> Vec<String> {
    let mut keys = keys.iter();
    let mut call = || under(keys.next().expect("enough keys"));
    let mut told = Vec::new();
    let mut tell = |answer: &dyn std::fmt::Debug| told.push(format!("{answer:?}"));
    let pool = db.db();

    let user = create_user(pool, &call(), ada("ada@example.org"))
        .await
        .expect("a user");
    tell(&user);
    tell(
        &update_user(pool, &call(), renamed(&user, "Ada Lovelace"))
            .await
            .expect("renamed"),
    );
    let (product, level) = create_product(pool, &call(), mug())
        .await
        .expect("a product");
    tell(&(&product, level));
    let change = ProductChange {
        name: Some("Cup".into()),
        ..ProductChange::default()
    };
    let cmd = UpdateProduct {
        id: product.id,
        change,
    };
    tell(&update_product(pool, &call(), cmd).await.expect("renamed"));
    let cmd = AdjustStock {
        product_id: product.id,
        delta: 3,
        reason: AdjustmentReason::Received,
    };
    tell(&adjust_stock(pool, &call(), cmd).await.expect("adjusted"));

    let order = create_order(pool, &call(), order_of(user.id, product.id))
        .await
        .expect("an order");
    tell(&order);
    if !again {
        reserve_and_confirm(db, &order).await;
    }
    tell(
        &pay_order(pool, &call(), payment(order.id, "p-1"))
            .await
            .expect("paid"),
    );
    for status in [
        OrderStatus::Processing,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
    ] {
        let cmd = UpdateOrderStatus {
            order_id: order.id,
            status,
        };
        tell(
            &update_order_status(pool, &call(), cmd)
                .await
                .expect("a step"),
        );
    }
    tell(
        &delete_order(pool, &call(), order.id)
            .await
            .expect("deleted"),
    );

    let other = create_order(pool, &call(), order_of(user.id, product.id))
        .await
        .expect("an order");
    let cmd = CancelOrder {
        order_id: other.id,
        actor: Actor::Customer,
        reason: Some("changed my mind".into()),
    };
    tell(&cancel_order(pool, &call(), cmd).await.expect("canceled"));
    tell(
        &pay_order(pool, &call(), payment(other.id, "p-2"))
            .await
            .expect("refund due"),
    );
    let (gone, _) = create_product(pool, &call(), mug())
        .await
        .expect("a product");
    tell(
        &delete_product(pool, &call(), gone.id)
            .await
            .expect("deleted"),
    );
    tell(&delete_user(pool, &call(), user.id).await.expect("deleted"));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_sent_again_answers_what_it_answered_and_does_nothing() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let keys: Vec<Key> = (0..20).map(|_| key()).collect();
    let told = life(&db, &keys, false).await;
    let before = everything(&db).await;
    assert!(told[12].contains("RefundDue"), "{}", told[12]);
    assert_eq!(life(&db, &keys, true).await, told);
    assert_eq!(everything(&db).await, before);
    let unanswered = "SELECT COUNT(*) FROM idempotency_keys WHERE outcome IS NULL";
    assert_eq!(db.count(unanswered).await, 0);
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
            let cmd = order_of(customer.id, product.id);
            tokio::spawn(async move { create_order(&pool, &call, cmd).await })
        });
        let mut answers: Vec<Order> = Vec::new();
        for twin in twins.collect::<Vec<_>>() {
            match twin.await.expect("no panic") {
                Ok(order) => answers.push(order),
                Err(CommandError::Refused(Refusal::IdempotencyKeyInUse { .. })) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(answers.len() >= 40, "only {} answers", answers.len());
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
            tokio::spawn(async move { delete_user(&pool, &call, unknown).await })
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

#[tokio::test(flavor = "multi_thread")]
async fn another_change_under_the_same_key_is_refused() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let key = key();
    let user = create_user(db.db(), &under(&key), ada("ada@example.org"))
        .await
        .expect("a user");
    let before = everything(&db).await;
    let other_content = create_user(db.db(), &under(&key), ada("eve@example.org")).await;
    let other_command = update_user(db.db(), &under(&key), renamed(&user, "Eve")).await;
    let other_terms = Call {
        expected_version: Some(1),
        ..under(&key)
    };
    let other_terms = create_user(db.db(), &other_terms, ada("ada@example.org")).await;
    for refused in [other_content, other_command, other_terms] {
        let refused = refusal_of(refused);
        assert_eq!(refused.code(), RefusalCode::IdempotencyKeyReused);
        assert_eq!(refused.field_path(), ["idempotencyKey"]);
    }
    assert_eq!(everything(&db).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_nothing_and_its_retry_is_judged_anew() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let owner = create_user(db.db(), &Call::now(None), ada("ada@example.org"))
        .await
        .expect("a user");
    let key = key();
    let refused = create_user(db.db(), &under(&key), ada("ada@example.org")).await;
    assert_eq!(refusal_of(refused).code(), RefusalCode::EmailTaken);
    assert_eq!(db.count("SELECT COUNT(*) FROM idempotency_keys").await, 0);
    delete_user(db.db(), &Call::now(None), owner.id)
        .await
        .expect("deleted");
    let user = create_user(db.db(), &under(&key), ada("ada@example.org")).await;
    assert_eq!(user.expect("free by now").version, 1);
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
            loop {
                match create_order(&pool, &call, cmd.clone()).await {
                    Ok(order) => {
                        if let Ok(Ok(first)) = first {
                            assert_eq!(order, first);
                        }
                        return;
                    }
                    Err(CommandError::Refused(Refusal::IdempotencyKeyInUse { .. })) => {}
                    Err(other) => panic!("{other:?}"),
                }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_time_has_passed_is_as_good_as_absent_and_is_pruned() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let old = key();
    let first = create_user(db.db(), &under(&old), ada("ada@example.org"))
        .await
        .expect("a user");
    db.execute(&format!(
        "UPDATE {}.idempotency_keys SET created_at = NOW(3) - INTERVAL 25 HOUR",
        db.settings().dsn.rsplit('/').next().expect("a name")
    ))
    .await;
    let long = Key {
        ttl: 2 * DAY,
        ..old.clone()
    };
    let still = create_user(db.db(), &under(&long), ada("ada@example.org")).await;
    assert_eq!(still.expect("it counts for two days"), first);

    let prune = async |limit| {
        let pruned = db
            .db()
            .transaction("test", async |tx| idempotency::prune(tx, DAY, limit).await);
        pruned.await.expect("pruned")
    };
    let second = create_user(db.db(), &under(&old), ada("eve@example.org")).await;
    assert_ne!(second.expect("another user").id, first.id);
    assert_eq!(prune(10).await, 0, "it was taken over, and is young again");

    for number in 0..5 {
        create_user(
            db.db(),
            &under(&key()),
            ada(&format!("{number}@example.org")),
        )
        .await
        .expect("a user");
    }
    db.execute(&format!(
        "UPDATE {}.idempotency_keys SET created_at = NOW(3) - INTERVAL 25 HOUR ORDER BY created_at LIMIT 5",
        db.settings().dsn.rsplit('/').next().expect("a name")
    ))
    .await;
    assert_eq!((prune(3).await, prune(3).await, prune(3).await), (3, 2, 0));
    assert_eq!(db.count("SELECT COUNT(*) FROM idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_version_than_expected_is_refused_and_tells_the_one_there_is() {
    let mut db = TestDb::new().await;
    db.leave_outbox();
    let (user, product) = (db.customer().await, db.product(5).await);
    let order = db.order(user.id, product.id, 1).await;
    let (pool, before) = (db.db(), everything(&db).await);
    let wrong = expecting(7);
    let cancel = CancelOrder {
        order_id: order.id,
        actor: Actor::Customer,
        reason: None,
    };
    let step = UpdateOrderStatus {
        order_id: order.id,
        status: OrderStatus::Processing,
    };
    let change = UpdateProduct {
        id: product.id,
        change: ProductChange::default(),
    };
    let adjust = AdjustStock {
        product_id: product.id,
        delta: 1,
        reason: AdjustmentReason::Received,
    };
    for refused in [
        refusal_of(update_user(pool, &wrong, renamed(&user, "Eve")).await),
        refusal_of(delete_user(pool, &wrong, user.id).await),
        refusal_of(update_product(pool, &wrong, change).await),
        refusal_of(delete_product(pool, &wrong, product.id).await),
        refusal_of(adjust_stock(pool, &wrong, adjust.clone()).await),
        refusal_of(pay_order(pool, &wrong, payment(order.id, "p-1")).await),
        refusal_of(cancel_order(pool, &wrong, cancel.clone()).await),
        refusal_of(update_order_status(pool, &wrong, step).await),
        refusal_of(delete_order(pool, &wrong, order.id).await),
    ] {
        assert_eq!(
            refused,
            Refusal::VersionMismatch {
                path: vec!["expectedVersion".into()],
                expected: 7,
                actual: 1
            }
        );
    }
    assert_eq!(everything(&db).await, before);

    let racers = (0..8).map(|number| {
        let (pool, cmd) = (pool.clone(), renamed(&user, &format!("Ada {number}")));
        tokio::spawn(async move { update_user(&pool, &expecting(1), cmd).await })
    });
    let mut done = 0;
    for racer in racers.collect::<Vec<_>>() {
        done += u32::from(racer.await.expect("no panic").is_ok());
    }
    assert_eq!(done, 1, "changes meant for one version");
    adjust_stock(pool, &expecting(1), adjust.clone())
        .await
        .expect("the version there is");
    let stale = refusal_of(adjust_stock(pool, &expecting(1), adjust).await);
    assert_eq!(stale.code(), RefusalCode::VersionMismatch);
    cancel_order(pool, &expecting(1), cancel)
        .await
        .expect("the version there is");
}

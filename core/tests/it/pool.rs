//! A request that is dropped in the middle must not leave its answer to the next one (crates: diesel-async #139).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use diesel::IntoSql;
use diesel::sql_types::BigInt;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use shop_core::db::{Conn, Db, StoreError};
use shop_core::events::Encoding;
use shop_core::runtime::settings::MysqlSettings;
use shop_core::testkit::TestDb;

/// Asks for a number that only this question has.
async fn ask(conn: &mut Conn, number: i64) -> diesel::QueryResult<i64> {
    diesel_async::RunQueryDsl::get_result(diesel::select(number.into_sql::<BigInt>()), conn).await
}

/// Runs many questions at once, drops some at random moments, and counts wrong answers and right ones.
async fn storm<F>(question: impl Fn(i64) -> F) -> (usize, usize)
where
    F: Future<Output = Option<i64>> + Send + 'static,
{
    static NUMBER: AtomicI64 = AtomicI64::new(1_000);
    let (wrong, right) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for index in 0..600_u64 {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let answer = question(number);
        let (wrong, right) = (wrong.clone(), right.clone());
        tasks.push(tokio::spawn(async move {
            // Every third is dropped after 0 to 2.9 ms, wherever it is then.
            let patience = if index % 3 == 0 {
                index * 37 % 2_900
            } else {
                20_000_000
            };
            match tokio::time::timeout(Duration::from_micros(patience), answer).await {
                Ok(Some(answered)) if answered == number => right.fetch_add(1, Ordering::Relaxed),
                Ok(Some(_)) => wrong.fetch_add(1, Ordering::Relaxed),
                Ok(None) | Err(_) => 0,
            };
        }));
    }
    for task in tasks {
        task.await.expect("a question");
    }
    (wrong.load(Ordering::Relaxed), right.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_dropped_at_random_never_give_their_answer_to_another() {
    let test = TestDb::new().await;
    let db = test.db().clone();
    let (wrong, right) = storm(|number| {
        let db = db.clone();
        async move {
            let answer = db.transaction("test", async |tx| {
                let answer = ask(tx, number).await?;
                Ok::<_, StoreError>(answer)
            });
            answer.await.ok()
        }
    })
    .await;
    assert_eq!(wrong, 0);
    assert!(
        right >= 400,
        "only {right} of at least 400 questions were answered"
    );
}

/// The control: without the guard the same storm gives wrong answers. If this fails, the test above proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_naive_pool_gives_answers_to_the_wrong_request() {
    let test = TestDb::new().await;
    let manager = AsyncDieselConnectionManager::<Conn>::new(&test.settings().dsn);
    let pool = Pool::builder(manager).max_size(8).build().expect("a pool");
    let mut wrong = 0;
    for _ in 0..20 {
        wrong += storm(|number| {
            let pool = pool.clone();
            async move { ask(&mut *pool.get().await.ok()?, number).await.ok() }
        })
        .await
        .0;
        if wrong > 0 {
            return;
        }
    }
    panic!("the naive pool gave no wrong answer in 20 storms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_in_doubt_and_an_earlier_failure_is_not() {
    let test = TestDb::new().await;
    let settings = test.settings();
    let commit = async |succeeds: bool| {
        test.db()
            .transaction("test", async move |tx| {
                let own: i64 = diesel_async::RunQueryDsl::get_result(
                    diesel::select(diesel::dsl::sql::<BigInt>("CONNECTION_ID()")),
                    tx,
                )
                .await?;
                let mut other = shop_core::db::connect(settings).await?;
                let kill = diesel::sql_query(format!("KILL CONNECTION {own}"));
                diesel_async::RunQueryDsl::execute(kill, &mut other).await?;
                if !succeeds {
                    ask(tx, 1).await?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .expect_err("nobody answers")
    };
    assert!(matches!(commit(true).await, StoreError::InDoubt(_)));
    assert!(matches!(commit(false).await, StoreError::Unavailable(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_may_run_in_several_places_at_once() {
    let test = TestDb::new().await;
    test.execute("DELETE FROM __diesel_schema_migrations").await;
    test.execute("ALTER TABLE stock ADD CONSTRAINT stock_product FOREIGN KEY (product_id) REFERENCES products (id)")
        .await;
    let migrate = || {
        let settings = test.settings().clone();
        tokio::spawn(async move { shop_core::db::migrate(&settings).await })
    };
    let (one, other) = (migrate(), migrate());
    let (one, other) = (one.await.expect("ended"), other.await.expect("ended"));
    let done = [one.expect("migrated").len(), other.expect("migrated").len()];
    assert!(done.contains(&0), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_long_for_a_connection_has_time_to_end_all_the_same() {
    let test = TestDb::new().await;
    let settings = MysqlSettings {
        pool_size: 1,
        timeout: Duration::from_secs(8),
        ..test.settings().clone()
    };
    let db = Db::new(&settings, Encoding::Json).expect("a pool");
    db.ping().await.expect("MySQL is up");
    let sleep = async |seconds: u32| {
        db.transaction("test", async move |tx| {
            let sleep = diesel::sql_query(format!("DO SLEEP({seconds})"));
            diesel_async::RunQueryDsl::execute(sleep, tx).await?;
            Ok::<_, StoreError>(())
        })
        .await
    };
    let (first, second) = tokio::join!(sleep(3), sleep(6));
    first.expect("it has the connection");
    second.expect("its own time begins with the connection");
}

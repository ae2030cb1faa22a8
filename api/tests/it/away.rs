//! Servers that are away: a clear error within the deadline, and recovery without a restart.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shop_core::runtime::settings::{MongoSettings, MysqlSettings};
use shop_core::testkit::eventually;

use crate::documents::{CREATE_USER, ORDER_STATUS_CHANGED, UPDATE_PRODUCT, USERS};
use crate::proxy::{Proxy, server_of};
use crate::shop::{Options, Shop, databases};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(30);
/// How long the API may wait for a server.
const STORE: Duration = Duration::from_millis(1_500);

fn ada(number: u32) -> Value {
    json!({ "input": { "name": "Ada", "email": format!("ada{number}@example.org") } })
}

/// A retryable error that says nothing of the inside.
fn assert_unavailable(body: &Value) {
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{body:#}");
    assert_eq!(error["extensions"]["retryable"], true);
    assert_eq!(
        error["extensions"]["traceId"].as_str().map(str::len),
        Some(32)
    );
    let message = error["message"].as_str().expect("a message");
    assert!(
        !message.contains("127.0.0.1") && !message.contains("SQL"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_away_is_a_retryable_error_while_queries_work_and_it_comes_back_by_itself() {
    let (db, views) = databases().await;
    let proxy = Proxy::to(server_of(&db.settings().dsn)).await;
    let dsn = proxy.instead(&db.settings().dsn);
    let mysql = MysqlSettings {
        dsn,
        pool_size: 4,
        timeout: STORE,
        ..db.settings().clone()
    };
    let options = Options {
        mysql: Some(mysql),
        ..Options::default()
    };
    let shop = Shop::over(db, views, options).await;
    shop.done(CREATE_USER, ada(0)["input"].take()).await;

    proxy.cut();
    for number in 1..4 {
        let begun = Instant::now();
        assert_unavailable(&shop.ask(CREATE_USER, ada(number)).await);
        assert!(begun.elapsed() < 4 * STORE, "it took {:?}", begun.elapsed());
    }
    shop.data(USERS, json!({})).await;

    proxy.restore();
    eventually("a mutation to work again", BOUND, async || {
        let body = shop.ask(CREATE_USER, ada(9)).await;
        body.get("errors").is_none().then_some(())
    })
    .await;
    assert_eq!(shop.db.count("SELECT COUNT(*) FROM users").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_away_is_a_retryable_error_while_mutations_work_and_it_comes_back_by_itself() {
    let (db, views) = databases().await;
    let proxy = Proxy::to(server_of(&views.settings().uri)).await;
    let uri = format!(
        "{}?directConnection=true",
        proxy.instead(&views.settings().uri)
    );
    let mongo = MongoSettings {
        uri,
        pool_size: 4,
        timeout: STORE,
    };
    let options = Options {
        mongo: Some(mongo),
        ..Options::default()
    };
    let shop = Shop::over(db, views, options).await;
    shop.data(USERS, json!({})).await;

    proxy.cut();
    let begun = Instant::now();
    assert_unavailable(&shop.ask(USERS, json!({})).await);
    assert!(begun.elapsed() < 4 * STORE, "it took {:?}", begun.elapsed());
    shop.done(CREATE_USER, ada(0)["input"].take()).await;
    let mut socket = Socket::open(shop.addr).await;
    let order = "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    let errors = socket.refused("1").await;
    assert_unavailable(&json!({ "errors": errors }));

    proxy.restore();
    eventually("a query to work again", BOUND, async || {
        let body = shop.ask(USERS, json!({})).await;
        body.get("errors").is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_a_retryable_error_and_the_mutation_runs_to_its_end() {
    use shop_core::db::{StoreError, products};

    let deadline = Some(Duration::from_millis(300));
    let shop = Shop::with(Options {
        deadline,
        ..Options::default()
    })
    .await;
    let product = shop.db.product(1).await;
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (unlock, unlocked) = tokio::sync::oneshot::channel::<()>();
    let holder = tokio::spawn({
        let db = shop.db.db().clone();
        let hold = tokio::sync::Mutex::new(Some((locked, unlocked)));
        async move {
            db.transaction("test", async |tx| {
                products::lock(tx, product.id).await?;
                let (locked, unlocked) = hold.lock().await.take().expect("the first try");
                locked.send(()).expect("a listener");
                let _ = unlocked.await;
                Ok::<_, StoreError>(())
            })
            .await
        }
    });
    is_locked.await.expect("the lock");
    let input = json!({ "input": { "id": product.id.to_string(), "name": "Cup" } });
    let body = shop.ask(UPDATE_PRODUCT, input).await;
    assert_eq!(
        body["errors"][0]["extensions"]["code"], "DEADLINE_EXCEEDED",
        "{body:#}"
    );
    assert_eq!(body["errors"][0]["extensions"]["retryable"], true);
    unlock.send(()).expect("the holder");
    holder.await.expect("no panic").expect("a commit");
    eventually("the mutation to take effect", BOUND, async || {
        let renamed = shop
            .db
            .count("SELECT COUNT(*) FROM products WHERE name = 'Cup'")
            .await;
        (renamed == 1).then_some(())
    })
    .await;
}

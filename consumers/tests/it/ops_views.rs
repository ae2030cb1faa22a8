//! ops views: generations are built beside the one that is served, compared, and switched to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::{Document, doc};
use shop_consumers::ops::views::{Outcome, Rebuild, drop_one, rebuild, take_lock};
use shop_consumers::ops::{OpsError, Progress};
use shop_core::domain::OrderStatus;
use shop_core::testkit::eventually;
use shop_core::views::{FOLLOWS_WITHIN, Served, Views};

use crate::ops_shop::{BOUND, Shop};

async fn run(shop: &Shop, accept: bool) -> Result<Outcome, OpsError> {
    let options = Rebuild { accept };
    rebuild(
        &shop.desk(),
        shop.views.views(),
        &options,
        &Progress::silent(),
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_reader_fails_or_sees_a_version_fall_and_both_generations_are_equal() {
    let mut shop = Shop::open().await;
    let ids = shop.some_of_everything().await;
    let watched = shop.confirmed().await.id;
    let done = AtomicBool::new(false);
    let load = async {
        let mut orders = 0;
        while !done.load(Ordering::Relaxed) {
            let order = shop.order().await;
            orders += 1;
            if orders % 3 == 0 {
                shop.cancel(order.id).await;
            }
        }
        orders
    };
    // Readers with caches of their own, as several copies of the API have.
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(
            Views::connect(&shop.settings.mongo, "test")
                .await
                .expect("an address"),
        );
    }
    let product = shop.product.id;
    let reading = async {
        let (mut seen, mut reads) = (0, 0);
        while !done.load(Ordering::Relaxed) {
            for reader in &readers {
                let level = reader.stock_level(product).await.expect("no query fails");
                let version = level.expect("it is there").version;
                assert!(version >= seen, "version {version} after {seen}");
                seen = version;
                reads += 1;
                assert!(
                    reader
                        .order(watched)
                        .await
                        .expect("no query fails")
                        .is_some()
                );
            }
        }
        reads
    };
    let rebuilding = async {
        for generation in [2, 3] {
            let outcome = run(&shop, false).await.expect("no difference");
            assert_eq!((outcome.generation, outcome.differences), (generation, 0));
        }
        done.store(true, Ordering::Relaxed);
    };
    let (orders, reads, ()) = tokio::join!(load, reading, rebuilding);
    assert!(orders > 5 && reads > 20, "{orders} orders, {reads} reads");
    assert_eq!(shop.views.served().await.expect("a read").kept, [1, 2]);
    shop.assert_sound().await;
    for id in &ids {
        assert!(shop.views.order(*id).await.expect("a read").is_some());
    }

    let desk = shop.desk();
    let views = shop.views.views();
    drop_one(&desk, views, 3).await.expect_err("it is served");
    drop_one(&desk, views, 7).await.expect_err("there is none");
    drop_one(&desk, views, 1).await.expect("it is not served");
    assert_eq!(views.generations().await.expect("a list"), [2, 3].into());
    drop_one(&desk, views, 1).await.expect_err("it is gone");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_are_refused_unless_accepted_and_the_rebuilt_documents_are_right() {
    let mut shop = Shop::open().await;
    let ids = shop.some_of_everything().await;
    shop.assert_sound().await;
    let orders = shop.views.database().await.collection::<Document>("orders");
    let id = |index: usize| doc! { "_id": mongodb::bson::Uuid::from_bytes(ids[index].uuid().into_bytes()) };
    let change = doc! { "$set": { "customer_name": "Mallory" } };
    orders
        .update_one(id(0), change)
        .await
        .expect("a planted fault");
    orders.delete_one(id(1)).await.expect("a planted fault");

    let refused = run(&shop, false).await.expect_err("two documents differ");
    assert_eq!(
        refused.to_string(),
        "2 documents differ; --accept has the rebuilt ones served"
    );
    let served = shop.views.served().await.expect("a read");
    assert_eq!((served.generation, served.paused), (1, false));
    assert_eq!(shop.views.generations().await.expect("a list"), [1].into());

    let outcome = run(&shop, true).await.expect("accepted");
    assert_eq!(outcome.differences, 2);
    eventually("the reader to follow", 4 * FOLLOWS_WITHIN, async || {
        (shop.views.generation().await.ok()? == outcome.generation).then_some(())
    })
    .await;
    shop.assert_sound().await;
    let order = shop
        .views
        .order(ids[0])
        .await
        .expect("a read")
        .expect("it is there");
    assert_eq!(order.customer_name, shop.customer.name);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_killed_leaves_nothing_that_is_served_and_the_next_one_starts_clean() {
    let mut shop = Shop::open().await;
    let order = shop.confirmed().await;

    // Killed while it builds: a generation that nobody finished, and a lock that its end freed.
    for millis in [1, 30, 60, 120] {
        let desk = shop.desk();
        let views = shop.views.views().clone();
        let options = Rebuild { accept: false };
        let progress = Progress::silent();
        let building = rebuild(&desk, &views, &options, &progress);
        let killed = tokio::time::timeout(Duration::from_millis(millis), building);
        assert!(killed.await.is_err(), "it was done within {millis} ms");
        assert_eq!(shop.views.served().await.expect("a read").generation, 1);
    }

    // Killed while writers pause: they go on by themselves.
    eventually("the pause", BOUND, async || {
        // What a killed one had sent may still arrive.
        let served = shop.views.served().await.ok()?;
        let paused = Served {
            paused: true,
            ..served.clone()
        };
        shop.views.change_served(&served, paused).await.ok()?
    })
    .await;
    shop.cancel(order.id).await;
    shop.wait_for(order.id, OrderStatus::Canceled).await;
    assert!(!shop.views.served().await.expect("a read").paused);

    let outcome = eventually("the lock to be free", BOUND, async || {
        run(&shop, false).await.ok()
    })
    .await;
    let views = shop.views.views();
    assert_eq!(
        views.generations().await.expect("a list"),
        [1, outcome.generation].into()
    );
    shop.assert_sound().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_are_refused() {
    let mut shop = Shop::open().await;
    shop.confirmed().await;
    let held = take_lock(&shop.desk()).await.expect("it is free");
    let refused = run(&shop, false).await.expect_err("somebody else is at it");
    assert!(matches!(refused, OpsError::Refused(_)), "{refused}");
    assert_eq!(
        shop.views.served().await.expect("a read").last,
        1,
        "nothing was begun"
    );
    drop(held);
    eventually("the lock to be free", BOUND, async || {
        run(&shop, false).await.ok()
    })
    .await;
    shop.stop().await;
}

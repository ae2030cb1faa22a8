//! ops republish: a Kafka that lost its data gets everything again, and everybody ends where they would have.

use std::collections::HashSet;

use shop_consumers::ops::republish::Republish;
use shop_consumers::ops::{OpsError, Progress};
use shop_core::bus::{delete_topics, ensure_topics};
use shop_core::domain::{OrderId, OrderStatus};
use shop_core::events::Channel;
use shop_core::testkit::eventually;

use crate::ops_shop::{BOUND, Shop};

async fn republish(
    shop: &Shop,
    what: Republish,
) -> Result<shop_core::commands::republish::Republished, OpsError> {
    what.republish(&shop.desk(), &Progress::silent()).await
}

async fn lose_kafka(shop: &Shop) {
    let all: Vec<Channel> = Channel::all().collect();
    delete_topics(shop.bus.settings(), &all)
        .await
        .expect("the topics are deleted");
    let mut made = HashSet::new();
    eventually("the topics to be made anew", BOUND, async || {
        let topics = ensure_topics(shop.bus.settings()).await.ok()?;
        made.extend(topics.created);
        (made.len() == all.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kafka_lost_its_data_everybody_ends_where_they_would_have() {
    let mut shop = Shop::open().await;
    let ids = shop.some_of_everything().await;
    shop.assert_sound().await;
    shop.stop().await;

    // On its way when it happens: an order that nobody has seen, a decision that the saga has not, a cancellation.
    let unseen = shop.order().await.id;
    shop.cancel(ids[0]).await;
    shop.db
        .execute("UPDATE outbox SET processed_at = NOW(3) WHERE processed_at IS NULL")
        .await;
    // Half of the past is pruned.
    shop.db
        .execute("DELETE FROM outbox WHERE processed_at IS NOT NULL AND MOD(seq, 2) = 0")
        .await;
    lose_kafka(&shop).await;
    shop.start();

    let everything = Republish {
        all: true,
        ..Republish::default()
    };
    let done = republish(&shop, everything.clone())
        .await
        .expect("it is sent again");
    assert!(done.renewed > 0 && done.kept > 0, "{done:?}");
    shop.wait_for(unseen, OrderStatus::Confirmed).await;
    shop.wait_for(ids[0], OrderStatus::Canceled).await;
    assert_eq!(shop.db.ledger_differences().await, 0);
    let tables = ["stock", "stock_orders", "stock_movements", "orders"];
    eventually("the stock to be given back", BOUND, async || {
        let released = shop
            .db
            .count("SELECT COUNT(*) FROM stock_orders WHERE state = 'RELEASED'")
            .await;
        (released == 2).then_some(())
    })
    .await;
    let before = shop.db.dump(&tables).await;
    // Again, and nothing happens.
    republish(&shop, everything)
        .await
        .expect("it is sent again");
    eventually("the outbox to be sent", BOUND, async || {
        let unsent = shop
            .db
            .count("SELECT COUNT(*) FROM outbox WHERE processed_at IS NULL")
            .await;
        (unsent == 0).then_some(())
    })
    .await;
    // What is sent again carries its old id, whether the outbox still had it or not.
    let broken = shop.audit().await;
    let other_id = broken
        .violations
        .iter()
        .find(|found| found.problem.contains("another event"));
    assert_eq!(other_id, None);
    assert!(
        broken
            .violations
            .iter()
            .all(|found| found.invariant == 1 || found.invariant == 6),
        "{broken:#?}"
    );
    assert_eq!(shop.db.dump(&tables).await, before);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_exists_is_sent_and_a_dry_run_sends_nothing() {
    let mut shop = Shop::open().await;
    let order = shop.confirmed().await;
    shop.assert_sound().await;
    shop.stop().await;
    let nobody = OrderId::from_uuid(uuid::Uuid::from_u128(7));
    let both = Republish {
        order: vec![order.id, nobody],
        ..Republish::default()
    };
    let refused = republish(&shop, both)
        .await
        .expect_err("there is no such order");
    assert_eq!(refused.to_string(), format!("there is no {nobody}"));
    let unsent = "SELECT COUNT(*) FROM outbox WHERE processed_at IS NULL";
    assert_eq!(shop.db.count(unsent).await, 0);

    let one = Republish {
        order: vec![order.id],
        ..Republish::default()
    };
    let mut desk = shop.desk();
    desk.consent.dry_run = true;
    one.republish(&desk, &Progress::silent())
        .await
        .expect("a dry run");
    assert_eq!(shop.db.count(unsent).await, 0);

    let done = republish(&shop, one).await.expect("it is sent again");
    assert_eq!(
        (done.aggregates, done.kept, done.renewed),
        (2, 3, 0),
        "its two events and the decision"
    );
    shop.start();
    shop.assert_sound().await;
    shop.stop().await;
}

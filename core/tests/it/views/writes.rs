//! Writes: the newest version wins, whoever comes in which order, and what is deleted is gone.

use std::collections::HashMap;

use mongodb::bson::{Bson, Document, doc};
use shop_core::domain::{ProductId, StockLevel, Version};
use shop_core::testkit::{Histories, TestViews};
use shop_core::views::{ViewError, Views, Written};

use super::{Shop, last, shuffled_and_doubled};

const COLLECTIONS: [&str; 4] = ["users", "products", "stock_levels", "orders"];

/// Cuts states into batches of chance length, none of which has two states of one aggregate.
fn batches<T, I: PartialEq>(
    states: Vec<T>,
    id: impl Fn(&T) -> I,
    rng: &mut fastrand::Rng,
) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = vec![Vec::new()];
    for state in states {
        let batch = batches.last_mut().expect("one at least");
        if rng.u8(..5) == 0 || batch.iter().any(|other| id(other) == id(&state)) {
            batches.push(vec![state]);
        } else {
            batch.push(state);
        }
    }
    batches
}

async fn versions(views: &TestViews) -> HashMap<(&'static str, String), i64> {
    let mut versions = HashMap::new();
    for collection in COLLECTIONS {
        for document in views.raw(collection).await {
            let id = document
                .get("_id")
                .map(ToString::to_string)
                .unwrap_or_default();
            versions.insert(
                (collection, id),
                document.get_i64("version").expect("a version"),
            );
        }
    }
    versions
}

async fn dump(views: &TestViews) -> Vec<Vec<Document>> {
    let mut dump = Vec::new();
    for collection in COLLECTIONS {
        dump.push(views.raw(collection).await);
    }
    dump
}

/// One batch of each view at a time, as far as there are any, looking at the versions after each.
async fn apply_shuffled(views: &TestViews, shop: &Shop, rng: &mut fastrand::Rng) {
    let mut users =
        batches(shuffled_and_doubled(&shop.users, rng), |user| user.id, rng).into_iter();
    let mut products = batches(
        shuffled_and_doubled(&shop.products, rng),
        |product| product.id,
        rng,
    )
    .into_iter();
    let mut levels = batches(
        shuffled_and_doubled(&shop.levels, rng),
        |level| level.product_id,
        rng,
    )
    .into_iter();
    let mut orders = batches(
        shuffled_and_doubled(&shop.orders, rng),
        |order| order.id,
        rng,
    )
    .into_iter();
    let mut before = HashMap::new();
    loop {
        let batch = (users.next(), products.next(), levels.next(), orders.next());
        if batch == (None, None, None, None) {
            return;
        }
        views
            .apply_users(&batch.0.unwrap_or_default())
            .await
            .expect("users");
        views
            .apply_products(&batch.1.unwrap_or_default())
            .await
            .expect("products");
        views
            .apply_stock_levels(&batch.2.unwrap_or_default())
            .await
            .expect("levels");
        views
            .apply_orders(&batch.3.unwrap_or_default())
            .await
            .expect("orders");
        let now = versions(views).await;
        for (document, version) in &before {
            assert!(
                now.get(document) >= Some(version),
                "the version of {document:?} fell"
            );
        }
        before = now;
    }
}

#[tokio::test]
async fn shuffled_and_doubled_states_end_in_the_same_documents() {
    for seed in 0..4 {
        let mut histories = Histories::new(seed);
        let shop = Shop::made_up(&mut histories, 6);
        let (straight, shuffled) = (TestViews::new().await, TestViews::new().await);
        straight
            .apply_users(&last(&shop.users))
            .await
            .expect("users");
        straight
            .apply_products(&last(&shop.products))
            .await
            .expect("products");
        straight
            .apply_stock_levels(&last(&shop.levels))
            .await
            .expect("levels");
        straight
            .apply_orders(&last(&shop.orders))
            .await
            .expect("orders");
        apply_shuffled(&shuffled, &shop, histories.rng()).await;
        assert_eq!(dump(&shuffled).await, dump(&straight).await, "seed {seed}");
    }
}

#[tokio::test]
async fn every_state_reads_back_exactly_as_it_was_written() {
    let views = TestViews::new().await;
    let shop = Shop::made_up(&mut Histories::new(7), 30);
    let (mut live, mut deleted) = (0, 0);
    for states in shop.users {
        for user in states {
            views
                .apply_users(std::slice::from_ref(&user))
                .await
                .expect("a write");
            (live, deleted) = (
                live + u32::from(!user.deleted),
                deleted + u32::from(user.deleted),
            );
            let expected = Some(user.clone()).filter(|user| !user.deleted);
            assert_eq!(views.user(user.id).await.expect("a read"), expected);
        }
    }
    for states in shop.products {
        for product in states {
            views
                .apply_products(std::slice::from_ref(&product))
                .await
                .expect("a write");
            let expected = Some(product.clone()).filter(|product| !product.deleted);
            assert_eq!(views.product(product.id).await.expect("a read"), expected);
        }
    }
    for states in shop.levels {
        for level in states {
            views.apply_stock_levels(&[level]).await.expect("a write");
            assert_eq!(
                views.stock_level(level.product_id).await.expect("a read"),
                Some(level)
            );
        }
    }
    assert!(
        live > 30 && deleted > 3,
        "the seed makes up too little: {live} {deleted}"
    );
}

#[tokio::test]
async fn the_largest_numbers_fit() {
    let views = TestViews::new().await;
    let mut level = Histories::new(1).stock_level()[0];
    level.on_hand = u32::MAX;
    level.reserved = u32::MAX;
    level.version = u32::MAX;
    views.apply_stock_levels(&[level]).await.expect("a write");
    assert_eq!(
        views.stock_level(level.product_id).await.expect("a read"),
        Some(level)
    );
    let mut product = Histories::new(1).product().swap_remove(0);
    product.price.minor = i64::MAX;
    product.description = "line\nand\0nul".to_owned();
    views
        .apply_products(std::slice::from_ref(&product))
        .await
        .expect("a write");
    assert_eq!(
        views.product(product.id).await.expect("a read"),
        Some(product)
    );
}

#[tokio::test]
async fn the_answer_tells_what_was_applied() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(3);
    let (first, other) = (histories.stock_level()[0], histories.stock_level()[0]);
    let level = |version| StockLevel { version, ..first };
    let apply =
        async |levels: &[StockLevel]| views.apply_stock_levels(levels).await.expect("a write");
    assert_eq!(apply(&[]).await, []);
    assert_eq!(apply(&[level(5)]).await, [Written::Applied]);
    assert_eq!(apply(&[level(5)]).await, [Written::Duplicate], "a repeat");
    assert_eq!(
        apply(&[level(4), other]).await,
        [Written::Duplicate, Written::Applied],
        "a late one"
    );
    assert_eq!(
        apply(&[other, level(6)]).await,
        [Written::Duplicate, Written::Applied],
        "a new one"
    );
}

#[tokio::test]
async fn more_documents_than_one_command_takes_are_all_written() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(5);
    let levels: Vec<StockLevel> = (0..2_300).map(|_| histories.stock_level()[0]).collect();
    let applied = vec![Written::Applied; levels.len()];
    assert_eq!(
        views.apply_stock_levels(&levels).await.expect("a write"),
        applied
    );
    let repeated = vec![Written::Duplicate; levels.len()];
    assert_eq!(
        views.apply_stock_levels(&levels).await.expect("a write"),
        repeated
    );
    let ids: Vec<_> = levels.iter().map(|level| level.product_id).collect();
    assert_eq!(
        views.stock_levels(&ids).await.expect("a read").len(),
        levels.len()
    );
}

/// Tries until the writers no longer stand in each other's way, as a caller does.
async fn apply_levels(views: &Views, levels: &[StockLevel]) -> Vec<Written> {
    loop {
        match views.apply_stock_levels(levels).await {
            Err(ViewError::Contended { .. }) => {}
            other => return other.expect("a write"),
        }
    }
}

/// One version of all products, in an order of its own: writers that lock the same documents in different orders must not
/// block each other.
fn version_of_all(products: &[StockLevel], version: Version) -> Vec<StockLevel> {
    let of = |level: &StockLevel| StockLevel {
        version,
        on_hand: version,
        reserved: 0,
        ..*level
    };
    let mut levels: Vec<StockLevel> = products.iter().map(of).collect();
    fastrand::Rng::with_seed(version.into()).shuffle(&mut levels);
    levels
}

/// Lets as many writers as there are versions write at once. Returns how often each version of each product was applied.
async fn race(
    views: &Views,
    products: &[StockLevel],
    versions: impl Iterator<Item = Version>,
) -> HashMap<(ProductId, Version), usize> {
    let racers: Vec<_> = versions
        .map(|version| {
            let (views, levels) = (views.clone(), version_of_all(products, version));
            tokio::spawn(async move { (apply_levels(&views, &levels).await, levels) })
        })
        .collect();
    let mut applied = HashMap::new();
    for racer in racers {
        let (written, levels) = racer.await.expect("no racer fails");
        for (level, written) in levels.iter().zip(written) {
            let times = applied
                .entry((level.product_id, level.version))
                .or_default();
            *times += usize::from(written == Written::Applied);
        }
    }
    applied
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_writers_the_newest_version_wins_and_is_applied_once() {
    const NEWEST: Version = 12;
    let views = TestViews::new().await;
    let mut histories = Histories::new(9);
    // Nothing is there yet, so the first writes race to insert: each version has one writer, and none may get lost.
    for round in 0..6 {
        let products: Vec<StockLevel> = (0..12).map(|_| histories.stock_level()[0]).collect();
        let applied = race(&views, &products, 1..=NEWEST).await;
        for product in &products {
            let id = product.product_id;
            let level = views
                .stock_level(id)
                .await
                .expect("a read")
                .expect("a level");
            assert_eq!(
                (level.version, level.on_hand),
                (NEWEST, NEWEST),
                "round {round}"
            );
            assert_eq!(applied[&(id, NEWEST)], 1, "round {round}");
        }
        // And again with three writers of each version, doubled deliveries of the same batch.
        let again = (1..=NEWEST + 1).flat_map(|version| [version; 3]);
        let applied = race(&views, &products, again).await;
        for ((id, version), times) in applied {
            let expected = usize::from(version == NEWEST + 1);
            assert_eq!(times, expected, "round {round}, version {version} of {id}");
        }
    }
}

#[tokio::test]
async fn a_deleted_user_or_product_keeps_only_id_version_and_times() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(11);
    let users = histories.user();
    let mut user = users[0].clone();
    let mut product = histories.product().swap_remove(0);
    views
        .apply_users(std::slice::from_ref(&user))
        .await
        .expect("a write");
    views
        .apply_products(std::slice::from_ref(&product))
        .await
        .expect("a write");
    user.delete(user.updated_at);
    product.delete(product.updated_at);
    views
        .apply_users(std::slice::from_ref(&user))
        .await
        .expect("a write");
    views
        .apply_products(std::slice::from_ref(&product))
        .await
        .expect("a write");
    // A late repeat does not bring them back.
    views.apply_users(&users[..1]).await.expect("a write");
    for (collection, version) in [("users", user.version), ("products", product.version)] {
        let [document] = &views.raw(collection).await[..] else {
            panic!("one in {collection}")
        };
        let fields: Vec<&str> = document.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["_id", "version", "deleted", "created_at", "updated_at"]
        );
        assert_eq!(document.get("version"), Some(&Bson::Int64(version.into())));
    }
    assert_eq!(views.user(user.id).await.expect("a read"), None);
    assert_eq!(views.product(product.id).await.expect("a read"), None);
}

#[tokio::test]
async fn ids_are_stored_as_uuids_and_times_as_dates() {
    let views = TestViews::new().await;
    let user = Histories::new(2).user().swap_remove(0);
    views
        .apply_users(std::slice::from_ref(&user))
        .await
        .expect("a write");
    let database = views.database().await;
    let typed = doc! { "_id": { "$type": "binData" }, "created_at": { "$type": "date" }, "version": { "$type": "long" } };
    let found = database
        .collection::<Document>("users")
        .find_one(typed)
        .await
        .expect("a read");
    let Some(Bson::Binary(id)) = found.and_then(|document| document.get("_id").cloned()) else {
        panic!("the id is no binary")
    };
    assert_eq!(id.subtype, mongodb::bson::spec::BinarySubtype::Uuid);
    assert_eq!(id.bytes, user.id.uuid().as_bytes());
}

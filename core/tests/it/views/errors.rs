//! A server that is away, documents that nobody of us wrote, and addresses that are none.

use std::error::Error;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use shop_core::domain::UserId;
use shop_core::runtime::settings::MongoSettings;
use shop_core::testkit::{Histories, TestViews};
use shop_core::views::{PageRequest, ProductCursor, ProductFilter, ProductSort, ViewError, Views};

/// What a log would show of an error.
fn chain(error: &ViewError) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn settings(uri: &str, timeout: Duration) -> MongoSettings {
    MongoSettings {
        uri: uri.to_owned(),
        pool_size: 4,
        timeout,
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_a_retryable_error_within_the_bound() {
    let bound = Duration::from_millis(300);
    // A port that was free a moment ago; nothing of ours listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it")
        .port();
    let uri = format!("mongodb://ada:hush@127.0.0.1:{port}/shop");
    let views = Views::connect(&settings(&uri, bound), "test")
        .await
        .expect("an address");
    let started = Instant::now();
    let user = Histories::new(1).user().swap_remove(0);
    for error in [
        views.ping().await.expect_err("nobody is there"),
        views.user(user.id).await.expect_err("nobody is there"),
        views
            .apply_users(&[user])
            .await
            .expect_err("nobody is there"),
    ] {
        assert!(error.is_retryable(), "{error:?}");
        assert!(!chain(&error).contains("hush"), "{}", chain(&error));
    }
    assert!(
        started.elapsed() < 10 * bound,
        "took {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn what_is_no_address_is_an_error_that_keeps_the_secret() {
    for uri in [
        "",
        "mysql://ada:hush@x/y",
        "mongodb://ada:hu/sh@x/y",
        "mongodb://ada:hush@/x?w=-1",
    ] {
        let error = Views::connect(&settings(uri, Duration::from_secs(1)), "test")
            .await
            .expect_err("no address");
        assert!(matches!(error, ViewError::BadAddress), "{error:?}");
        assert!(!error.is_retryable());
        assert!(chain(&error).contains("MONGO_URI") && !chain(&error).contains("hu"));
    }
}

#[tokio::test]
async fn a_document_of_somebody_else_is_an_error_and_no_panic() {
    let views = TestViews::new().await;
    let database = views.database().await;
    let user = Histories::new(1).user().swap_remove(0);
    views
        .apply_users(std::slice::from_ref(&user))
        .await
        .expect("a write");
    let set = doc! { "$set": { "version": -1_i64 } };
    let users = database.collection::<Document>("users");
    users.update_one(doc! {}, set).await.expect("an update");
    let error = views.user(user.id).await.expect_err("a negative version");
    assert!(
        matches!(
            error,
            ViewError::Corrupt {
                collection: "users",
                what: "a version"
            }
        ),
        "{error:?}"
    );
    users
        .update_one(doc! {}, doc! { "$unset": { "name": 1 } })
        .await
        .expect("an update");
    assert!(
        !views
            .user(user.id)
            .await
            .expect_err("a name is missing")
            .is_retryable()
    );
}

#[tokio::test]
async fn indexes_are_made_once_however_many_programs_ask_at_once() {
    let views = TestViews::new().await;
    let all = futures::future::join_all((0..6).map(|_| views.ensure_indexes())).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let names = views
        .database()
        .await
        .collection::<Document>("orders")
        .list_index_names()
        .await;
    assert_eq!(names.expect("names").len(), 3);
    views.ping().await.expect("a sign of life");
    assert_eq!(
        views
            .user(UserId::from_uuid(uuid::Uuid::nil()))
            .await
            .expect("a read"),
        None
    );
}

#[tokio::test]
async fn the_first_programs_to_start_do_not_stumble_over_each_other() {
    let views = TestViews::new().await;
    views.database().await.drop().await.expect("dropped");
    let all = futures::future::join_all((0..6).map(|_| views.ensure_indexes())).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test]
async fn a_cursor_of_another_sort_order_is_refused() {
    let views = TestViews::new().await;
    let product = Histories::new(1).product().swap_remove(0);
    let page = PageRequest::first(1).after(ProductCursor::of(ProductSort::Name, &product));
    let error = views
        .list_products(&ProductFilter::default(), ProductSort::Price, page)
        .await
        .expect_err("another order");
    assert!(matches!(error, ViewError::ForeignCursor) && !error.is_retryable());
}

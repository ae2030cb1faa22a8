//! What `api seed` puts into an empty shop.

use shop_api::seed;
use shop_core::testkit::TestDb;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_shop_is_filled_once_through_commands() {
    let db = TestDb::new().await;
    let (users, products) = seed::fill(db.db()).await.expect("a shop");
    assert_eq!((users.len(), products.len()), (2, 6));
    let events = db.take_outbox().await.len();
    assert_eq!(events, 2 + 2 * 6, "a user emits one event, a product two");
    let again = seed::fill(db.db()).await.expect("the same shop");
    let ids = |(users, products): &(Vec<_>, Vec<_>)| {
        let users: Vec<shop_core::domain::User> = users.clone();
        let products: Vec<shop_core::domain::Product> = products.clone();
        (
            users.iter().map(|one| one.id).collect::<Vec<_>>(),
            products.iter().map(|one| one.id).collect::<Vec<_>>(),
        )
    };
    assert_eq!(ids(&again), ids(&(users, products)));
    assert!(
        db.take_outbox().await.is_empty(),
        "the second time emits nothing"
    );
    assert_eq!(db.ledger_differences().await, 0);
}

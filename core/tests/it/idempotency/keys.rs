//! What a key stands for, and how long.

use shop_core::commands::Call;
use shop_core::commands::users::{create_user, delete_user, update_user};
use shop_core::db::idempotency::{self, Key};
use shop_core::domain::refusal::RefusalCode;
use shop_core::testkit::TestDb;

use super::{DAY, ada, everything, key, renamed, under};
use crate::orders::refusal_of;

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

//! Commands that write `users`.

use shop_core::commands::users::{CreateUser, UpdateUser, create_user, delete_user, update_user};
use shop_core::commands::{Call, CommandError};
use shop_core::domain::refusal::RefusalCode;
use shop_core::domain::{Refusal, UserId};
use shop_core::events::EventType;
use shop_core::testkit::TestDb;

use crate::orders::refusal_of;

fn call() -> Call {
    Call::now(None)
}

fn named(name: &str, email: &str) -> CreateUser {
    CreateUser {
        name: name.into(),
        email: email.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_created_changed_and_deleted_with_one_event_each() {
    let db = TestDb::new().await;
    let user = create_user(db.db(), &call(), named("Ada", "ada@example.org"))
        .await
        .expect("created");
    let update = UpdateUser {
        id: user.id,
        name: Some("Ada L.".into()),
        email: None,
    };
    let updated = update_user(db.db(), &call(), update.clone())
        .await
        .expect("updated");
    assert_eq!((updated.version, updated.name.as_str()), (2, "Ada L."));
    let again = update_user(db.db(), &call(), update)
        .await
        .expect("nothing to change");
    assert_eq!(again.version, 2);
    let deleted = delete_user(db.db(), &call(), user.id)
        .await
        .expect("deleted");
    assert_eq!(
        (
            deleted.version,
            deleted.name.as_str(),
            deleted.email.as_str()
        ),
        (3, "", "")
    );

    let events: Vec<_> = db
        .take_outbox()
        .await
        .into_iter()
        .map(|e| (e.kind, e.version))
        .collect();
    assert_eq!(
        events,
        [
            (EventType::UserCreated, 1),
            (EventType::UserUpdated, 2),
            (EventType::UserDeleted, 3)
        ]
    );
    assert_eq!(
        db.count("SELECT COUNT(*) FROM users WHERE email IS NOT NULL OR name <> ''")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_address_is_one_users_without_case_until_the_user_is_deleted() {
    let db = TestDb::new().await;
    let first = create_user(db.db(), &call(), named("Ada", "ada@example.org"))
        .await
        .expect("created");
    let other = create_user(db.db(), &call(), named("Bo", "bo@example.org"))
        .await
        .expect("created");
    db.take_outbox().await;

    let twice = create_user(db.db(), &call(), named("Eve", "ADA@example.org")).await;
    assert_eq!(refusal_of(twice).code(), RefusalCode::EmailTaken);
    let update = UpdateUser {
        id: other.id,
        name: None,
        email: Some("Ada@Example.org".into()),
    };
    let moved = update_user(db.db(), &call(), update).await;
    assert_eq!(refusal_of(moved).field_path(), ["email"]);
    assert!(db.take_outbox().await.is_empty(), "a refusal emits nothing");
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 2);

    delete_user(db.db(), &call(), first.id)
        .await
        .expect("deleted");
    create_user(db.db(), &call(), named("Eve", "ada@example.org"))
        .await
        .expect("free again");
    db.take_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_and_a_deleted_user_are_not_found_and_bad_fields_are_named() {
    let db = TestDb::new().await;
    let unknown = UserId::from_uuid(shop_core::runtime::ids::fresh());
    let refused = refusal_of(delete_user(db.db(), &call(), unknown).await);
    assert!(matches!(refused, Refusal::NotFound { .. }));
    let user = db.customer().await;
    delete_user(db.db(), &call(), user.id)
        .await
        .expect("deleted");
    db.take_outbox().await;
    let again = refusal_of(delete_user(db.db(), &call(), user.id).await);
    assert_eq!(again.code(), RefusalCode::NotFound);
    for (cmd, field) in [
        (named("", "a@example.org"), "name"),
        (named("Ada", "ada"), "email"),
    ] {
        let refused = refusal_of(create_user(db.db(), &call(), cmd).await);
        assert_eq!(refused.field_path(), [field]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_an_open_order_is_not_deleted() {
    let db = TestDb::new().await;
    let user = db.customer().await;
    let product = db.product(5).await;
    db.order(user.id, product.id, 1).await;
    db.take_outbox().await;
    let refused = delete_user(db.db(), &call(), user.id).await;
    assert!(matches!(
        refused,
        Err(CommandError::Refused(Refusal::UserHasOpenOrders {
            open: 1,
            ..
        }))
    ));
}

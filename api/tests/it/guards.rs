//! Guards of the pinned version of async-graphql: 7.1 and later answer fields in the order of their completion, and lose
//! a parent whose child failed.

use std::time::Duration;

use async_graphql::{EmptyMutation, EmptySubscription, Object, Result, Schema, SimpleObject};

struct Query;

#[derive(SimpleObject)]
struct Fine {
    ok: i32,
}

struct Nested;

#[expect(clippy::unused_async, reason = "the macro wants resolvers that are")]
#[Object]
impl Nested {
    async fn ok(&self) -> i32 {
        1
    }

    async fn broken(&self) -> Result<i32> {
        Err("broken".into())
    }
}

#[Object]
impl Query {
    async fn slow(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        1
    }

    async fn fast(&self) -> i32 {
        2
    }

    async fn fine(&self) -> Fine {
        Fine { ok: 1 }
    }

    async fn nested(&self) -> Option<Nested> {
        Some(Nested)
    }
}

async fn answer(query: &str) -> String {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    serde_json::to_string(&schema.execute(query).await.data).expect("data is JSON")
}

#[tokio::test(start_paused = true)]
async fn fields_come_in_the_order_of_the_query_however_slow_a_sibling_is() {
    let query = "{ slow a: fast fine { ok } b: slow c: fast }";
    assert_eq!(
        answer(query).await,
        r#"{"slow":1,"a":2,"fine":{"ok":1},"b":1,"c":2}"#
    );
}

#[tokio::test]
async fn an_error_in_a_field_that_can_not_be_null_nulls_its_parent() {
    assert_eq!(
        answer("{ nested { ok broken } fast }").await,
        r#"{"nested":null,"fast":2}"#
    );
    assert_eq!(answer("{ nested { ok } }").await, r#"{"nested":{"ok":1}}"#);
}

//! Clients that hang up: whatever they leave behind, nobody else reads it.

use std::time::Duration;

use serde_json::json;

use crate::documents::{CREATE_PRODUCT, CREATE_USER};
use crate::shop::{Options, Shop, edge};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_dropped_at_random_never_give_their_answer_to_another() {
    let mut edge = edge();
    edge.http.mutations_at_once = 4_096; // all of them at once
    let shop = Shop::with(Options {
        edge: Some(edge),
        ..Options::default()
    })
    .await;
    let mut tasks = Vec::new();
    for index in 0..300_u64 {
        // Twins of two kinds, so that an answer that was left on a connection would be of the wrong kind or name.
        let name = format!("n{index}");
        let (document, field, input) = if index % 2 == 0 {
            (
                CREATE_USER,
                "createUser",
                json!({ "name": name, "email": format!("{name}@example.org") }),
            )
        } else {
            let price = json!({ "amount": "1", "currencyCode": "EUR" });
            (
                CREATE_PRODUCT,
                "createProduct",
                json!({ "name": name, "price": price }),
            )
        };
        let request = shop
            .client
            .post(shop.url("/graphql"))
            .json(&json!({ "query": document, "variables": { "input": input } }));
        // Every third client hangs up after 0 to 39 ms, wherever its request is then.
        let patience = if index % 3 == 0 {
            index * 37 % 40
        } else {
            60_000
        };
        tasks.push(tokio::spawn(async move {
            let answer = async { request.send().await?.json::<serde_json::Value>().await };
            let answer = tokio::time::timeout(Duration::from_millis(patience), answer).await;
            let Ok(answer) = answer else { return false };
            let payload = &answer.expect("an answer")["data"][field];
            let object = payload
                .get("user")
                .or_else(|| payload.get("product"))
                .expect("an object");
            assert_eq!(object["name"], name.as_str(), "{payload:#}");
            true
        }));
    }
    let mut answered = 0;
    for task in tasks {
        answered += u32::from(
            task.await
                .expect("every answer is the one that was asked for"),
        );
    }
    assert!(answered >= 200, "only {answered} answers were checked");
}

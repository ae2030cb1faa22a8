//! What an operation costs: the same by our count, which answers tell, and by the library's, which validates.

use async_graphql::parser::parse_query;
use async_graphql::{Request, Variables};
use serde_json::{Value, json};
use shop_api::graphql::cost::cost;
use shop_api::graphql::schema_builder;

use crate::documents::{
    CREATE_ORDER, CREATE_PRODUCT, INTROSPECTION, NODES, ORDER, ORDER_STATUS_CHANGED, ORDER_UPDATES,
    ORDERS, PRODUCT, PRODUCTS, UPDATE_ORDER_STATUS, USER, USERS,
};
use crate::process::Process;

/// Whether the library finds a document too complex for a limit. Nothing is run: the operation does not exist.
async fn is_too_complex(document: &str, variables: &Value, limit: usize) -> bool {
    let schema = schema_builder().limit_complexity(limit).finish();
    let request = Request::new(document)
        .variables(Variables::from_json(variables.clone()))
        .operation_name("NoSuchOperation");
    let errors = schema.execute(request).await.errors;
    let message = &errors.first().expect("it is not run").message;
    message.starts_with("Query is too complex")
}

#[tokio::test]
async fn our_count_is_the_librarys() {
    for (document, variables) in [
        (CREATE_ORDER, json!({})),
        (CREATE_PRODUCT, json!({})),
        (INTROSPECTION, json!({})),
        (NODES, json!({ "ids": ["user_1", "order_2", "product_3"] })),
        (ORDER, json!({ "id": "order_1" })),
        (ORDERS, json!({})),
        (ORDERS, json!({ "first": 7 })),
        (ORDERS, json!({ "last": 100 })),
        (ORDERS, json!({ "first": 0 })),
        (ORDERS, json!({ "first": null, "last": 3 })),
        (PRODUCT, json!({ "id": "product_1" })),
        (PRODUCTS, json!({ "first": 99 })),
        (UPDATE_ORDER_STATUS, json!({})),
        (USER, json!({ "id": "user_1" })),
        (USERS, json!({ "first": 5 })),
        (ORDER_STATUS_CHANGED, json!({ "orderId": "order_1" })),
        (ORDER_UPDATES, json!({})),
        (
            "{ users(first: 3) { nodes { ...U } } } fragment U on User { orders(last: 4) { edges { node { id } } } }",
            json!({}),
        ),
        (
            "query($i: [ID!]! = [1, 2]) { a: nodes(ids: $i) { id } b: nodes(ids: [3]) { ... on User { orders { nodes { id } } } } }",
            json!({}),
        ),
        (
            "query A { users { nodes { id } } } query B { node(id: 1) { __typename } }",
            json!({}),
        ),
    ] {
        let parsed = parse_query(document).expect("a document");
        let ours = cost(&parsed, &Variables::from_json(variables.clone()));
        assert!(ours > 0, "{document}");
        let beside = format!("{ours} for {document} with {variables}");
        assert!(
            !is_too_complex(document, &variables, ours).await,
            "{beside}"
        );
        assert!(
            is_too_complex(document, &variables, ours - 1).await,
            "{beside}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_its_cost_and_the_limit() {
    let api = Process::start(&[]).await;
    for (query, requested) in [
        ("{ __typename }", 0),
        ("{ __schema { queryType { name } } }", 3),
        ("{ nodes(ids: []) { id } }", 1),
    ] {
        let (_, body) = api.post(query).await.expect("an answer");
        let told = json!({ "requested": requested, "limit": 100_000 });
        assert_eq!(body["extensions"]["cost"], told, "{query}: {body}");
    }
    let wide = "{ users(first: 100) { nodes { orders(first: 100) { nodes { items { id: productId } customer { orders(first: 100) { nodes { id } } } } } } } }";
    let (_, body) = api.post(wide).await.expect("an answer");
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["code"], "QUERY_TOO_COMPLEX", "{body}");
    assert_eq!(error["extensions"]["limit"], 100_000);
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("100000 at most"), "{message}");
}

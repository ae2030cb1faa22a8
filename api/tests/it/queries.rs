//! Queries: pages, filters, ids.

use serde_json::{Value, json};

use crate::documents::{
    CREATE_PRODUCT, CREATE_USER, NODES, ORDER, ORDERS, PRODUCT, PRODUCTS, USER, USERS,
};
use crate::shop::Shop;

fn ids(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().expect("nodes");
    let ids: Vec<_> = nodes
        .iter()
        .map(|node| node["id"].as_str().expect("an id").to_owned())
        .collect();
    let edges = page["edges"].as_array().expect("edges").iter();
    assert_eq!(
        edges
            .map(|edge| edge["node"]["id"].as_str().expect("an id"))
            .collect::<Vec<_>>(),
        ids
    );
    ids
}

fn flags(page: &Value) -> (bool, bool) {
    let flag = |name: &str| page["pageInfo"][name].as_bool().expect("a flag");
    (flag("hasPreviousPage"), flag("hasNextPage"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_walked_both_ways_without_a_repeat_or_a_gap() {
    let shop = Shop::open().await;
    let mut newest_first = Vec::new();
    for _ in 0..5 {
        newest_first.insert(0, shop.customer().await.as_str().expect("an id").to_owned());
    }
    shop.settle().await;
    let page = async |arguments: Value| shop.data(USERS, arguments).await["users"].take();

    let first = page(json!({ "first": 2 })).await;
    assert_eq!(
        (ids(&first), flags(&first)),
        (newest_first[..2].to_vec(), (false, true))
    );
    shop.customer().await; // what comes in meanwhile moves nothing
    shop.settle().await;
    let second = page(json!({ "first": 2, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(
        (ids(&second), flags(&second)),
        (newest_first[2..4].to_vec(), (true, true))
    );
    let third = page(json!({ "first": 2, "after": second["pageInfo"]["endCursor"] })).await;
    assert_eq!(
        (ids(&third), flags(&third)),
        (newest_first[4..].to_vec(), (true, false))
    );
    let back = page(json!({ "last": 2, "before": third["pageInfo"]["startCursor"] })).await;
    assert_eq!(ids(&back), ids(&second));
    let none = page(json!({ "first": 0 })).await;
    assert_eq!(
        (ids(&none), &none["pageInfo"]["startCursor"]),
        (vec![], &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_sorted() {
    let shop = Shop::open().await;
    for (name, amount) in [
        ("mug", "49.00"),
        ("Green tea", "9.50"),
        ("Tea pot", "12.90"),
    ] {
        let price = json!({ "amount": amount, "currencyCode": "EUR" });
        shop.done(
            CREATE_PRODUCT,
            json!({ "name": name, "price": price, "stock": 2 }),
        )
        .await;
    }
    for (name, email) in [("Ada", "Ada@example.org"), ("Eve", "eve@example.org")] {
        shop.done(CREATE_USER, json!({ "name": name, "email": email }))
            .await;
    }
    shop.settle().await;
    let names = async |arguments: Value| {
        let page = shop.data(PRODUCTS, arguments).await["products"].take();
        let nodes = page["nodes"].as_array().expect("nodes");
        assert!(nodes.iter().all(|node| node["stock"]["available"] == 2));
        nodes
            .iter()
            .map(|node| node["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({})).await, ["Tea pot", "Green tea", "mug"]);
    assert_eq!(
        names(json!({ "sort": "NAME" })).await,
        ["Green tea", "mug", "Tea pot"]
    );
    assert_eq!(
        names(json!({ "sort": "PRICE" })).await,
        ["Green tea", "Tea pot", "mug"]
    );
    assert_eq!(names(json!({ "sort": "PRICE", "last": 1 })).await, ["mug"]);
    assert_eq!(
        names(json!({ "filter": { "nameContains": "TEA" } })).await,
        ["Tea pot", "Green tea"]
    );
    assert_eq!(
        names(json!({ "filter": { "nameContains": ".*" } })).await,
        [""; 0]
    );

    let filter = json!({ "filter": { "email": "ADA@EXAMPLE.ORG" } });
    let users = shop.data(USERS, filter).await["users"].take();
    assert_eq!(
        (ids(&users).len(), &users["nodes"][0]["name"]),
        (1, &json!("Ada"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_customer_and_status() {
    let shop = Shop::open().await;
    let (paid, canceled) = (
        shop.order_in(&["PAID"]).await,
        shop.order_in(&["CANCELED"]).await,
    );
    let orders = async |filter: Value| {
        ids(&shop.data(ORDERS, json!({ "filter": filter })).await["orders"].take())
    };
    assert_eq!(
        orders(json!({})).await,
        [canceled.as_str(), paid.as_str()].map(|id| id.expect("an id"))
    );
    assert_eq!(
        orders(json!({ "statuses": ["PAID", "SHIPPED"] })).await,
        [paid.as_str().expect("an id")]
    );
    assert_eq!(orders(json!({ "statuses": [] })).await.len(), 2);

    let customer = shop.data(ORDER, json!({ "id": paid })).await["order"]["customerId"].take();
    assert_eq!(
        orders(json!({ "customerId": customer })).await,
        [paid.as_str().expect("an id")]
    );
    assert_eq!(orders(json!({ "customerId": paid })).await, [""; 0]); // an id of another kind
    let own = async |filter: Value| {
        let user = shop
            .data(USER, json!({ "id": customer, "filter": filter }))
            .await["user"]
            .take();
        user["orders"]["nodes"].clone()
    };
    assert_eq!(own(json!(null)).await[0]["customer"]["id"], customer);
    assert_eq!(own(json!({ "statuses": ["CANCELED"] })).await, json!([]));
    let other = json!({ "customerId": "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01" });
    assert_eq!(own(other).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn things_are_found_by_id_each_at_its_place() {
    let shop = Shop::open().await;
    let order = shop.order_in(&[]).await;
    let seen = shop.data(ORDER, json!({ "id": order })).await["order"].take();
    let (user, product) = (&seen["customerId"], &seen["items"][0]["productId"]);
    let unknown = "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    let ids = json!([product, unknown, order, user, product]);
    let found = shop.data(NODES, json!({ "id": order, "ids": ids })).await;
    assert_eq!(
        (&found["node"]["__typename"], &found["node"]["id"]),
        (&json!("Order"), &order)
    );
    let kinds: Vec<_> = found["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|node| &node["__typename"])
        .collect();
    assert_eq!(
        json!(kinds),
        json!(["Product", null, "Order", "User", "Product"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_or_of_another_kind_is_null_and_what_is_no_id_is_an_error() {
    let shop = Shop::open().await;
    let uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
    for (document, field) in [(USER, "user"), (PRODUCT, "product"), (ORDER, "order")] {
        for kind in ["user", "product", "order"] {
            let answer = shop
                .data(document, json!({ "id": format!("{kind}_{uuid}") }))
                .await;
            assert!(answer[field].is_null(), "{field} {kind}: {answer}");
        }
        for bad in ["", "7", uuid] {
            let error = shop.ask(document, json!({ "id": bad })).await["errors"][0].take();
            assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
            assert!(
                error["message"]
                    .as_str()
                    .expect("a message")
                    .starts_with("argument id: "),
                "{error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_of_a_list_that_can_not_be_met_is_named() {
    let shop = Shop::open().await;
    for (arguments, named) in [
        (json!({ "first": 101 }), "first"),
        (json!({ "first": -1 }), "first"),
        (json!({ "last": 4_000_000_000_i64 }), "last"),
        (json!({ "first": 1, "last": 1 }), "last"),
        (json!({ "after": "here" }), "after"),
        (json!({ "before": "" }), "before"),
        (
            json!({ "filter": { "customerId": "me" } }),
            "filter.customerId",
        ),
    ] {
        let error = shop.ask(ORDERS, arguments.clone()).await["errors"][0].take();
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.starts_with(&format!("argument {named}: ")),
            "{arguments} -> {message}"
        );
    }
    let many: Vec<_> = (0..101)
        .map(|_| "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01")
        .collect();
    let error = shop.ask(NODES, json!({ "id": many[0], "ids": many })).await["errors"][0].take();
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .starts_with("argument ids: "),
        "{error}"
    );
    shop.customer().await;
    shop.settle().await;
    let users = shop.data(USERS, json!({})).await["users"].take();
    let foreign = json!({ "after": users["pageInfo"]["endCursor"] });
    let error = shop.ask(ORDERS, foreign).await["errors"][0].take();
    assert_eq!(
        error["extensions"]["code"], "BAD_USER_INPUT",
        "a cursor of another list: {error}"
    );
}

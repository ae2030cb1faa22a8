//! Nobody can tell what is somebody else's from what is not there: tried at every place of the schema that takes an id, with
//! documents made from the schema.

use std::collections::BTreeSet;
use std::time::Duration;

use apollo_compiler::Schema;
use apollo_compiler::schema::{ExtendedType, InputValueDefinition, Type};
use apollo_compiler::validation::Valid;
use serde_json::{Map, Value, json};
use shop_core::db::{Db, StoreError};
use shop_core::domain::{OrderId, UserId};
use shop_core::events::Encoding;
use shop_core::runtime::settings::MysqlSettings;
use shop_core::testkit::Reads;

use crate::documents::{CANCEL_ORDER, CREATE_ORDER};
use crate::shop::{Options, Shop, databases};
use crate::socket::Socket;
use crate::tokens;

/// How deep answers are asked for.
const DEPTH: usize = 4;
/// How often each question is asked.
const TIMES: usize = 3;
/// A query for a version that never comes waits no longer.
const NO_VERSION: Duration = Duration::from_millis(60);

/// A place of the schema that takes an id: the fields that lead there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    operation: &'static str,
    field: String,
    /// The argument, and the input's fields below it.
    path: Vec<String>,
}

impl Place {
    fn name(&self) -> String {
        format!("{}({})", self.field, self.path.join("."))
    }
}

/// The schema, as far as documents are made of it.
struct Crawl {
    schema: Valid<Schema>,
    /// Things that exist and may be asked about by whoever asks.
    product: String,
}

impl Crawl {
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (operation, root) in [
            ("query", "Query"),
            ("mutation", "Mutation"),
            ("subscription", "Subscription"),
        ] {
            let ExtendedType::Object(root) = &self.schema.types[root] else {
                panic!("{root} is no object");
            };
            for (field, definition) in &root.fields {
                for argument in &definition.arguments {
                    let mut paths = Vec::new();
                    self.ids_in(argument, &mut Vec::new(), &mut paths);
                    places.extend(paths.into_iter().map(|path| Place {
                        operation,
                        field: field.to_string(),
                        path,
                    }));
                }
            }
        }
        places
    }

    fn ids_in(
        &self,
        value: &InputValueDefinition,
        above: &mut Vec<String>,
        found: &mut Vec<Vec<String>>,
    ) {
        above.push(value.name.to_string());
        match &self.schema.types[value.ty.inner_named_type()] {
            ExtendedType::Scalar(scalar) if scalar.name == "ID" => found.push(above.clone()),
            ExtendedType::InputObject(input) => {
                for field in input.fields.values() {
                    self.ids_in(field, above, found);
                }
            }
            _ => {}
        }
        above.pop();
    }

    /// A document that asks for all there is below a field, and its variables with an id at the place; with everything that may
    /// be left out or without.
    fn ask(&self, place: &Place, id: &str, with_optional: bool) -> (String, Value) {
        let root = match place.operation {
            "query" => "Query",
            "mutation" => "Mutation",
            _ => "Subscription",
        };
        let ExtendedType::Object(root) = &self.schema.types[root] else {
            panic!("no root");
        };
        let field = &root.fields[place.field.as_str()];
        let (mut variables, mut definitions, mut arguments) = (Map::new(), vec![], vec![]);
        for argument in &field.arguments {
            let path = place
                .path
                .split_first()
                .filter(|(first, _)| *first == argument.name.as_str());
            let rest = path.map(|(_, rest)| rest);
            if let Some(value) = self.value(argument, rest, id, with_optional) {
                let name = argument.name.to_string();
                definitions.push(format!("${name}: {}", argument.ty));
                arguments.push(format!("{name}: ${name}"));
                variables.insert(name, value);
            }
        }
        let selection = self.selection(field.ty.inner_named_type(), DEPTH);
        let document = format!(
            "{}({}) {{ {}({}) {selection} }}",
            place.operation,
            definitions.join(", "),
            place.field,
            arguments.join(", ")
        );
        (document, Value::Object(variables))
    }

    /// A value for an argument or an input's field. `rest` is what is left of the place's path, if that leads here.
    fn value(
        &self,
        of: &InputValueDefinition,
        rest: Option<&[String]>,
        id: &str,
        with_optional: bool,
    ) -> Option<Value> {
        let is_required = of.ty.is_non_null() && of.default_value.is_none();
        if rest.is_none() && !is_required && !with_optional {
            return None;
        }
        let value = match &self.schema.types[of.ty.inner_named_type()] {
            ExtendedType::InputObject(input) => {
                let mut object = Map::new();
                for field in input.fields.values() {
                    let below = rest.and_then(|rest| rest.split_first());
                    let below = below.filter(|(first, _)| *first == field.name.as_str());
                    let below = below.map(|(_, rest)| rest);
                    if let Some(value) = self.value(field, below, id, with_optional) {
                        object.insert(field.name.to_string(), value);
                    }
                }
                Value::Object(object)
            }
            ExtendedType::Enum(_) if of.ty.is_list() => json!("PENDING"),
            ExtendedType::Enum(of) => {
                json!(of.values.keys().next_back().expect("a value").as_str())
            }
            _ if rest.is_some() => json!(id),
            _ => self.scalar(of)?,
        };
        Some(if is_list(&of.ty) {
            json!([value])
        } else {
            value
        })
    }

    fn scalar(&self, of: &InputValueDefinition) -> Option<Value> {
        Some(
            match (of.ty.inner_named_type().as_str(), of.name.as_str()) {
                // Another page than the first, and another customer than the caller, are other questions.
                (_, "after" | "before" | "last" | "onBehalfOf" | "customerId") => return None,
                ("ID", "productId") => json!(self.product),
                ("ID", _) => json!(unknown_order()),
                ("Int", _) => json!(1),
                ("UUID", _) => json!(unknown_order().trim_start_matches("order_")),
                ("DateTime", _) => json!("2026-01-01T00:00:00Z"),
                ("Decimal", _) => json!("2.50"),
                ("String", "currencyCode") => json!("EUR"),
                ("Boolean", _) => json!(true),
                _ => json!("x"),
            },
        )
    }

    /// Everything below a type that needs no argument.
    fn selection(&self, ty: &str, depth: usize) -> String {
        let fields = match &self.schema.types[ty] {
            ExtendedType::Object(object) => &object.fields,
            ExtendedType::Interface(interface) => &interface.fields,
            _ => return String::new(),
        };
        let mut parts = vec!["__typename".to_owned()];
        for (name, field) in fields {
            let inner = field.ty.inner_named_type();
            let is_leaf = matches!(
                &self.schema.types[inner],
                ExtendedType::Scalar(_) | ExtendedType::Enum(_)
            );
            if is_leaf {
                parts.push(name.to_string());
            } else if depth > 0 {
                parts.push(format!("{name} {}", self.selection(inner, depth - 1)));
            }
        }
        if matches!(&self.schema.types[ty], ExtendedType::Interface(_)) && ty == "Node" {
            for kind in ["Order", "User", "Product"] {
                parts.push(format!("... on {kind} {}", self.selection(kind, 1)));
            }
        }
        format!("{{ {} }}", parts.join(" "))
    }
}

fn is_list(ty: &Type) -> bool {
    ty.is_list()
}

#[expect(clippy::disallowed_methods, reason = "an id that nothing has")]
fn unknown_order() -> String {
    OrderId::from_uuid(uuid::Uuid::now_v7()).to_string()
}

#[expect(clippy::disallowed_methods, reason = "an id that nobody has")]
fn unknown_user() -> String {
    UserId::from_uuid(uuid::Uuid::now_v7()).to_string()
}

/// What somebody sees: status, body without what differs each time, and how many rows MySQL read for it.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    body: String,
    rows: i64,
}

/// A shop whose API has one connection to MySQL, which the test may ask as well.
struct Watched {
    shop: Shop,
    one: Db,
    crawl: Crawl,
    ada: Value,
    bob: Value,
    /// An order of Ada's.
    order: String,
}

impl Watched {
    async fn open() -> Self {
        let (db, views) = databases().await;
        let settings = MysqlSettings {
            pool_size: 1,
            ..db.settings().clone()
        };
        let one = Db::new(&settings, Encoding::Json).expect("a pool");
        let options = Options {
            db: Some(one.clone()),
            read_your_write_timeout: Some(NO_VERSION),
            ..Options::default()
        };
        let shop = Shop::over(db, views, options).await;
        let (ada, bob, product) = (
            shop.customer().await,
            shop.customer().await,
            shop.product(50).await,
        );
        let mut orders = Vec::new();
        for customer in [&ada, &bob] {
            let lines = json!([{ "productId": product, "quantity": 2 }]);
            let input = json!({ "input": { "lines": lines } });
            let token = tokens::customer(customer);
            let answer = shop.ask_as(&token, CREATE_ORDER, input).await;
            let order = &answer["data"]["createOrder"]["order"]["id"];
            orders.push(order.as_str().expect("an order").to_owned());
        }
        shop.settle().await;
        let schema = Schema::parse_and_validate(shop_api::graphql::sdl(), "schema.graphql");
        let crawl = Crawl {
            schema: schema.expect("the schema is valid"),
            product: product.as_str().expect("an id").to_owned(),
        };
        let order = orders.swap_remove(0);
        Self {
            shop,
            one,
            crawl,
            ada,
            bob,
            order,
        }
    }

    async fn rows(&self) -> i64 {
        let reads = self.one.transaction("reads", async |tx| {
            Ok::<_, StoreError>(Reads::until_now(tx).await?.rows)
        });
        reads.await.expect("a count")
    }

    async fn see(&self, token: &str, place: &Place, id: &str, with_optional: bool) -> Seen {
        let (document, variables) = self.crawl.ask(place, id, with_optional);
        let body = json!({ "query": document, "variables": variables });
        let before = self.rows().await;
        let request = self.shop.client.post(self.shop.url("/graphql"));
        let answer = request.headers(tokens::headers(token)).json(&body).send();
        let answer = answer.await.expect("an answer");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        let after = self.rows().await;
        Seen {
            status,
            body: without_what_varies(body, id),
            rows: after - before,
        }
    }

    /// The same, with the least rows of a few times: what MySQL looks up about its own tables now and then does not count.
    async fn at_least(&self, token: &str, place: &Place, id: &str, with_optional: bool) -> Seen {
        let mut seen = self.see(token, place, id, with_optional).await;
        for _ in 1..TIMES {
            let again = self.see(token, place, id, with_optional).await;
            assert_eq!(again.body, seen.body, "{}", place.name());
            seen.rows = seen.rows.min(again.rows);
        }
        seen
    }

    /// Each kind of thing that can be somebody else's: Ada's, and one that is not there.
    fn pairs(&self) -> [(String, String); 2] {
        let ada = self.ada.as_str().expect("an id").to_owned();
        [(self.order.clone(), unknown_order()), (ada, unknown_user())]
    }
}

/// In: an answer, or the errors of an operation that could not begin.
fn without_what_varies(mut body: Value, id: &str) -> String {
    let errors = match &mut body {
        Value::Array(errors) => Some(errors),
        body => body.get_mut("errors").and_then(Value::as_array_mut),
    };
    if let Some(errors) = errors {
        for error in errors {
            error["extensions"]["traceId"] = Value::Null;
        }
    }
    body.to_string().replace(id, "ID")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mine_is_as_little_there_as_what_does_not_exist() {
    let watched = Watched::open().await;
    let bob = tokens::customer(&watched.bob);
    let places = watched.crawl.places();
    let names: BTreeSet<_> = places.iter().map(Place::name).collect();
    for known in [
        "node(id)",
        "nodes(ids)",
        "order(id)",
        "orders(filter.customerId)",
        "createOrder(input.onBehalfOf)",
        "payOrder(input.orderId)",
        "orderUpdates(filter.customerId)",
    ] {
        assert!(names.contains(known), "{known} is not among {names:#?}");
    }
    let mut asked = 0;
    for place in places
        .iter()
        .filter(|place| place.operation != "subscription")
    {
        for (theirs, nobodys) in watched.pairs() {
            for with_optional in [false, true] {
                let mine = watched.at_least(&bob, place, &theirs, with_optional).await;
                let none = watched.at_least(&bob, place, &nobodys, with_optional).await;
                assert_eq!(mine, none, "{} {theirs}", place.name());
                assert!(
                    !mine.body.contains("GRAPHQL_"),
                    "{}: {}",
                    place.name(),
                    mine.body
                );
                asked += 1;
            }
        }
    }
    assert!(asked >= 60, "only {asked} questions");
    // Ada's order is as she left it.
    let token = tokens::customer(&watched.ada);
    let input = json!({ "input": { "orderId": watched.order } });
    let canceled = watched.shop.ask_as(&token, CANCEL_ORDER, input).await;
    let version = &canceled["data"]["cancelOrder"]["order"]["version"];
    assert_eq!(*version, 3, "{canceled:#}");
}

/// The control: whoever may see everything can tell at the same places, so the crawl would have noticed.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_see_everything_can_tell() {
    let watched = Watched::open().await;
    let admin = tokens::admin();
    let (mut told_apart, mut by_rows) = (BTreeSet::new(), BTreeSet::new());
    for place in watched.crawl.places() {
        if place.operation == "subscription" {
            continue;
        }
        for (theirs, nobodys) in watched.pairs() {
            let there = watched.see(&admin, &place, &theirs, false).await;
            let none = watched.see(&admin, &place, &nobodys, false).await;
            if there.body != none.body {
                if there.rows != none.rows {
                    by_rows.insert(place.name());
                }
                told_apart.insert(place.name());
            }
        }
    }
    for known in [
        "node(id)",
        "nodes(ids)",
        "order(id)",
        "orders(filter.customerId)",
        "user(id)",
        "createOrder(input.onBehalfOf)",
        "cancelOrder(input.orderId)",
        "updateUser(input.id)",
    ] {
        assert!(
            told_apart.contains(known),
            "{known} is not among {told_apart:#?}"
        );
    }
    for known in ["cancelOrder(input.orderId)", "deleteOrder(input.orderId)"] {
        assert!(by_rows.contains(known), "{known} is not among {by_rows:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_another_customers_order() {
    let watched = Watched::open().await;
    let shop = &watched.shop;
    let places = watched.crawl.places();
    let mut sockets = Vec::new();
    for place in places
        .iter()
        .filter(|place| place.operation == "subscription")
    {
        for (theirs, nobodys) in watched.pairs() {
            for id in [theirs, nobodys] {
                let token = tokens::customer(&watched.bob);
                let mut socket = Socket::open_as(shop.addr, &token).await;
                let (document, variables) = watched.crawl.ask(place, &id, false);
                socket.subscribe("1", &document, variables).await;
                sockets.push((place.name(), id, socket));
            }
        }
    }
    assert!(sockets.len() >= 12, "only {} subscriptions", sockets.len());
    // Meanwhile the order moves.
    let token = tokens::customer(&watched.ada);
    let input = json!({ "input": { "orderId": watched.order } });
    shop.ask_as(&token, CANCEL_ORDER, input).await;
    shop.settle().await;
    let mut answers = Vec::new();
    for (place, id, socket) in &mut sockets {
        let answer = socket.receive().await.expect("an answer");
        answers.push((
            place.clone(),
            without_what_varies(answer["payload"].clone(), id),
        ));
    }
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1]);
        assert!(!pair[0].1.contains("CANCELED"), "{}", pair[0].1);
    }
}

//! A shop of a test's own: the API on a port of its own over a database and views of its own, and the roles behind it,
//! driven step by step.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use shop_api::live::{Hub, Live};
use shop_consumers::order_saga::OrderSaga;
use shop_consumers::projector::{Projector, StatusSink};
use shop_consumers::stock_reservation::StockReservation;
use shop_core::bus::{Producer, Role};
use shop_core::db::Db;
use shop_core::domain::{Order, Product, User};
use shop_core::events::{
    Encoding, Envelope, Event, Payload, Source, StoredEvent, Topic, WireRecord,
};
use shop_core::runtime::settings::{
    EdgeSettings, IdentitySettings, KafkaSettings, MongoSettings, MysqlSettings,
};
use shop_core::runtime::{Settings, Shutdown, metrics};
use shop_core::testkit::{TestDb, TestViews};
use shop_core::views::Views;
use tokio::task::JoinHandle;

use crate::copies::{ApiCopy, Hubs};
use crate::{documents, tokens};

/// Longer than any answer takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Tables that are compared row by row.
const TABLES: [&str; 4] = ["stock", "orders", "stock_orders", "stock_movements"];
/// What is compared of the others: a number that every change of theirs changes.
const SUMS: [&str; 7] = [
    "SELECT COUNT(*) FROM idempotency_keys",
    "SELECT COALESCE(SUM(version), 0) FROM users",
    "SELECT COALESCE(SUM(version), 0) FROM products",
    "SELECT COUNT(*) FROM order_items",
    "SELECT COUNT(*) FROM order_transitions",
    "SELECT COUNT(*) FROM payments",
    "SELECT COUNT(*) FROM outbox",
];

/// Where the projector's statuses go.
#[derive(Clone)]
pub enum Statuses {
    /// Straight to the hubs of all copies of the API, without Kafka.
    Hubs(Hubs),
    /// To the topic.
    Topic(Producer),
}

impl StatusSink for Statuses {
    async fn publish(&self, records: Vec<(Topic, WireRecord)>) -> anyhow::Result<()> {
        match self {
            Self::Topic(producer) => Ok(producer.send_all(records).await?),
            Self::Hubs(hubs) => {
                for (topic, record) in records {
                    let hubs = hubs.all();
                    match decode(topic, &record).payload {
                        Payload::Order(order) => {
                            let order = Arc::from(order);
                            for live in hubs {
                                live.orders.publish(&order);
                            }
                        }
                        Payload::StockLevel(level) => {
                            for live in hubs {
                                live.stock.publish(&level);
                            }
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }
}

/// Both sides of a shop. One after the other: migrations block, and may not run inside `join!`.
pub async fn databases() -> (TestDb, TestViews) {
    let db = TestDb::new().await;
    (db, TestViews::new().await)
}

/// What a test may want otherwise.
#[derive(Default)]
pub struct Options {
    /// The API's connections to MySQL, if a test wants to use them too.
    pub db: Option<Db>,
    /// How the API reaches MySQL.
    pub mysql: Option<MysqlSettings>,
    /// How the API reaches MongoDB.
    pub mongo: Option<MongoSettings>,
    /// Where the API reads again what a follower missed.
    pub kafka: Option<KafkaSettings>,
    /// How long a client waits for an answer.
    pub deadline: Option<Duration>,
    /// How long a query waits for its version.
    pub read_your_write_timeout: Option<Duration>,
    /// Who may call, and how much.
    pub edge: Option<EdgeSettings>,
    /// Whose tokens are taken.
    pub identity: Option<IdentitySettings>,
}

/// How Kafka is reached when nothing is said.
pub fn kafka() -> KafkaSettings {
    let settings = Settings::read(&|_| None);
    settings.expect("the defaults are valid").kafka
}

/// How the API's edge is set when nothing is said: as by default, but that one client may ask for as much as a test does.
pub fn edge() -> EdgeSettings {
    let settings = Settings::read(&|_| None);
    let mut edge = settings.expect("the defaults are valid").edge;
    edge.http.rate_per_address = 0;
    edge.http.rate_per_user = 0;
    // Tests ask much at once whatever machine they run on.
    edge.http.requests_at_once = 256;
    edge.http.mutations_at_once = 64;
    edge
}

/// The shop; stopped when dropped.
pub struct Shop {
    pub db: TestDb,
    pub views: TestViews,
    pub hub: Hub,
    pub live: Live,
    pub addr: SocketAddr,
    pub client: Client,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<()>,
    hubs: Hubs,
    roles: Roles<Statuses>,
}

impl Shop {
    pub async fn open() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let (db, views) = databases().await;
        Self::over(db, views, options).await
    }

    pub async fn over(db: TestDb, views: TestViews, options: Options) -> Self {
        let ApiCopy {
            live,
            addr,
            shutdown,
            serving,
        } = ApiCopy::open(&db, &views, options).await;
        let hubs = Hubs::default();
        hubs.add(&live);
        let roles = Roles::new(db.db(), &views, Statuses::Hubs(hubs.clone()));
        let client = Client::builder()
            .timeout(PATIENCE)
            .default_headers(tokens::headers(&tokens::admin()))
            .build()
            .expect("a client");
        Self {
            db,
            views,
            hub: live.orders.clone(),
            live,
            addr,
            client,
            shutdown,
            serving,
            hubs,
            roles,
        }
    }

    /// Another copy of the API over the same stores.
    pub async fn copy(&self) -> ApiCopy {
        self.copy_with(Options::default()).await
    }

    pub async fn copy_with(&self, options: Options) -> ApiCopy {
        let copy = ApiCopy::open(&self.db, &self.views, options).await;
        self.hubs.add(&copy.live);
        copy
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Sends a request to GraphQL as it is.
    pub async fn post(&self, body: &Value) -> Response {
        self.client
            .post(self.url("/graphql"))
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    /// The whole body of the answer to a document, asked with a token.
    pub async fn ask_as(&self, token: &str, document: &str, variables: Value) -> Value {
        let body = json!({ "query": document, "variables": variables });
        let request = self.client.post(self.url("/graphql"));
        let response = request.headers(tokens::headers(token)).json(&body).send();
        let response = response.await.expect("an answer");
        response.json().await.expect("a body in JSON")
    }

    /// The whole body of the answer to a document, asked by an administrator.
    pub async fn ask(&self, document: &str, variables: Value) -> Value {
        let response = self
            .post(&json!({ "query": document, "variables": variables }))
            .await;
        response.json().await.expect("a body in JSON")
    }

    /// The data of the answer, which must have no errors.
    pub async fn data(&self, document: &str, variables: Value) -> Value {
        let mut body = self.ask(document, variables).await;
        assert!(body.get("errors").is_none(), "{body:#}");
        body["data"].take()
    }

    /// A mutation's payload.
    pub async fn payload(&self, document: &str, input: Value) -> Value {
        only_member(self.data(document, json!({ "input": input })).await)
    }

    /// A mutation's payload, which must have no errors.
    pub async fn done(&self, document: &str, input: Value) -> Value {
        let payload = self.payload(document, input).await;
        assert_eq!(payload["errors"], json!([]), "{payload:#}");
        payload
    }

    /// The one error of a mutation that must be refused, change nothing and emit nothing.
    pub async fn refused(&self, document: &str, input: Value) -> Value {
        let before = self.everything().await;
        let mut payload = self.payload(document, input).await;
        assert_eq!(
            self.everything().await,
            before,
            "a refusal changed something"
        );
        let errors = payload["errors"].as_array_mut().expect("a list of errors");
        assert_eq!(errors.len(), 1, "{errors:?}");
        let error = errors.remove(0);
        for (name, object) in payload.as_object().expect("an object") {
            assert!(
                name == "errors" || object.is_null(),
                "{name} is {object} in a refusal"
            );
        }
        error
    }

    /// The GraphQL error of a request that must change nothing and emit nothing.
    pub async fn invalid(&self, document: &str, variables: Value) -> Value {
        let before = self.everything().await;
        let mut body = self.ask(document, variables).await;
        assert_eq!(
            self.everything().await,
            before,
            "an invalid request changed something"
        );
        assert!(body["data"].is_null(), "{body:#}");
        body["errors"][0].take()
    }

    /// All state and how much was ever emitted.
    pub async fn everything(&self) -> String {
        let mut lines = vec![self.db.dump(&TABLES).await];
        for sum in SUMS {
            lines.push(format!("{sum}: {}", self.db.count(sum).await));
        }
        lines.join("\n")
    }

    /// Lets the roles work until nothing is left to do.
    pub async fn settle(&self) {
        self.roles.settle(&self.db).await;
    }

    /// Brings an order from PENDING to a status through the roles and mutations.
    pub async fn order_in(&self, statuses: &[&str]) -> Value {
        let (customer, product) = (self.customer().await, self.product(10).await);
        let lines = json!([{ "productId": product, "quantity": 2 }]);
        let input = json!({ "onBehalfOf": customer, "lines": lines });
        let order = self.done(documents::CREATE_ORDER, input).await["order"]["id"].take();
        self.settle().await;
        for status in statuses {
            let (document, input) = match *status {
                "PAID" => {
                    let reference = order.clone();
                    (
                        documents::PAY_ORDER,
                        json!({ "orderId": order, "method": "card", "reference": reference }),
                    )
                }
                "CANCELED" => (documents::CANCEL_ORDER, json!({ "orderId": order })),
                status => (
                    documents::UPDATE_ORDER_STATUS,
                    json!({ "orderId": order, "status": status }),
                ),
            };
            self.done(document, input).await;
            self.settle().await;
        }
        order
    }

    /// The id of a new customer.
    pub async fn customer(&self) -> Value {
        let User { id, .. } = self.db.customer().await;
        json!(id.to_string())
    }

    /// The id of a new product at EUR 2.50.
    pub async fn product(&self, units: i64) -> Value {
        let Product { id, .. } = self.db.product(units).await;
        json!(id.to_string())
    }

    /// An order of 2 units, PENDING; only the write side knows it yet.
    pub async fn placed(&self) -> Order {
        let (user, product) = (self.db.customer().await, self.db.product(10).await);
        self.db.order(user.id, product.id, 2).await
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.shutdown.request();
        self.db.leave_outbox(); // what a test does not settle is its own business; refusals are checked by themselves
    }
}

/// The value of a counter, whose line begins so; the whole process has counted.
pub fn counted(line: &str) -> u64 {
    let text = metrics::render();
    text.lines()
        .find_map(|found| found.strip_prefix(line)?.parse::<u64>().ok())
        .unwrap_or(0)
}

/// The only member of an object.
pub fn only_member(object: Value) -> Value {
    let Value::Object(members) = object else {
        panic!("{object} is no object")
    };
    let mut members = members.into_iter();
    let (_, value) = members.next().expect("a member");
    assert!(members.next().is_none(), "more than one member");
    value
}

/// The roles behind the API, without Kafka between them.
pub struct Roles<S> {
    reservation: StockReservation,
    saga: OrderSaga,
    projector: Projector<S>,
    offset: AtomicI64,
}

impl<S: StatusSink> Roles<S> {
    pub fn new(db: &Db, views: &Views, statuses: S) -> Self {
        Self {
            reservation: StockReservation::new(db.clone()),
            saga: OrderSaga::new(db.clone()),
            projector: Projector::new(views.clone(), statuses, Encoding::Json),
            offset: AtomicI64::new(0),
        }
    }

    /// Hands what is in the outbox to the roles, and what they put there, until it is empty.
    pub async fn settle(&self, db: &TestDb) {
        loop {
            let events = db.take_outbox().await;
            if events.is_empty() {
                return;
            }
            let mut topics: HashMap<Topic, Vec<Envelope>> = HashMap::new();
            for event in events {
                let envelope = self.envelope(event);
                topics
                    .entry(envelope.source.topic)
                    .or_default()
                    .push(envelope);
            }
            let of = |topic: Topic| topics.get(&topic).cloned().unwrap_or_default();
            handle(&self.reservation, of(Topic::Orders)).await;
            handle(&self.saga, of(Topic::Stock)).await;
            for topic in [
                Topic::Users,
                Topic::Products,
                Topic::StockLevels,
                Topic::Orders,
            ] {
                handle(&self.projector, of(topic)).await;
            }
        }
    }

    fn envelope(&self, stored: StoredEvent) -> Envelope {
        let topic = stored.aggregate_type.topic();
        let offset = self.offset.fetch_add(1, Ordering::Relaxed);
        let source = Source {
            topic,
            partition: 0,
            offset,
        };
        Envelope {
            source,
            event: decode(topic, &stored.into_record()),
        }
    }
}

async fn handle(role: &impl Role, batch: Vec<Envelope>) {
    if !batch.is_empty() {
        let outcome = role.handle(&batch).await;
        outcome.unwrap_or_else(|error| panic!("{} failed: {:#}", role.name(), error.into_inner()));
    }
}

fn decode(topic: Topic, record: &WireRecord) -> Event {
    let header = |name: &str| {
        record
            .headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    Event::decode(topic, header, &record.value).expect("our own events are readable")
}

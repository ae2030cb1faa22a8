//! The program as `api serve` puts it together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shop_api::serve;
use shop_core::runtime::{Health, Program, Runtime, Settings, Shutdown};
use shop_core::testkit::{TestBus, TestDb, TestViews, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::documents::{CREATE_ORDER, ORDER_STATUS_CHANGED, USERS};
use crate::shop::{Roles, Statuses, databases};
use crate::socket::Socket;
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

struct Running {
    addr: SocketAddr,
    health: SocketAddr,
    client: Client,
    shutdown: Shutdown,
    program: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let shutdown = Shutdown::new();
        let watched = Health::new(shutdown.clone());
        let health = watched.listen(settings.health_addr).await;
        let runtime = Runtime {
            program: Program::Api,
            settings: Arc::new(settings),
            shutdown: shutdown.clone(),
            health: watched,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let program = tokio::spawn(serve::serve(runtime, listener));
        Self {
            addr,
            health: health.expect("a free port"),
            client: tokens::client(),
            shutdown,
            program,
        }
    }

    async fn readyz(&self) -> (StatusCode, Value) {
        let url = format!("http://{}/readyz", self.health);
        let response = self.client.get(url).send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    async fn ask(&self, document: &str, variables: Value) -> Value {
        let url = format!("http://{}/graphql", self.addr);
        let body = json!({ "query": document, "variables": variables });
        let response = self
            .client
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        response.json().await.expect("JSON")
    }

    async fn stop(self) {
        self.shutdown.request();
        let ended = tokio::time::timeout(BOUND, self.program)
            .await
            .expect("it ends in time");
        ended.expect("no panic").expect("no error");
    }
}

async fn settings(db: &TestDb, views: &TestViews, bus: Option<&TestBus>) -> Settings {
    let mut settings = Settings::read(&|_| None).expect("the defaults are valid");
    settings.mysql = db.settings_as(Program::Api).await;
    settings.mongo = views.settings().clone();
    match bus {
        Some(bus) => settings.kafka = bus.settings().clone(),
        None => NOWHERE.clone_into(&mut settings.kafka.brokers),
    }
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_program_becomes_ready_tells_live_status_and_stops() {
    let (db, views) = databases().await;
    let bus = TestBus::new().await;
    let api = Running::start(settings(&db, &views, Some(&bus)).await).await;
    eventually("the program to be ready", BOUND, async || {
        let (status, report) = api.readyz().await;
        let up = |name: &str| report["dependencies"][name]["status"] == "up";
        (status == StatusCode::OK && up("mysql") && up("mongodb") && up("kafka")).then_some(())
    })
    .await;

    let (customer, product) = (db.customer().await, db.product(5).await);
    let line = json!({ "productId": product.id.to_string(), "quantity": 1 });
    let input = json!({ "onBehalfOf": customer.id.to_string(), "lines": [line] });
    let created = api.ask(CREATE_ORDER, json!({ "input": input })).await;
    let order = &created["data"]["createOrder"]["order"]["id"];
    let mut socket = Socket::open(api.addr).await;
    socket
        .subscribe("1", ORDER_STATUS_CHANGED, json!({ "orderId": order }))
        .await;
    let roles = Roles::new(db.db(), &views, Statuses::Topic(bus.producer().clone()));
    roles.settle(&db).await;
    loop {
        let answer = socket.next("1").await;
        let change = &answer["data"]["orderStatusChanged"];
        assert_eq!(&change["orderId"], order, "{answer:#}");
        if change["status"] == "CONFIRMED" {
            break;
        }
    }
    api.stop().await;
    assert_eq!(socket.receive().await, Err(1001));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_the_program_serves_and_says_at_readyz_what_it_lacks() {
    let (db, views) = databases().await;
    let api = Running::start(settings(&db, &views, None).await).await;
    let answer = api.ask(USERS, json!({})).await;
    assert_eq!(answer["data"]["users"]["nodes"], json!([]), "{answer:#}");
    let (status, report) = api.readyz().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(report["dependencies"]["kafka"]["status"], "down");
    assert_eq!(
        report["dependencies"]["mysql"]["status"], "up",
        "{report:#}"
    );
    assert_eq!(
        report["dependencies"]["mongodb"]["status"], "up",
        "{report:#}"
    );
    api.stop().await;
}

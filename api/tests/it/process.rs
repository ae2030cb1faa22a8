//! The program as a process of its own: what a client sends never ends it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shop_core::testkit::eventually;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::socket::Socket;
use crate::tokens;

const BOUND: Duration = Duration::from_secs(30);
/// Settings with which it serves without any server: nobody listens there.
const ALONE: [(&str, &str); 3] = [
    ("MYSQL_DSN", "mysql://shop:shop@127.0.0.1:1/shop"),
    ("MONGO_URI", "mongodb://127.0.0.1:1/shop"),
    ("KAFKA_BROKERS", "127.0.0.1:1"),
];

/// `api serve`; killed when dropped.
pub struct Process {
    pub addr: SocketAddr,
    health: SocketAddr,
    pub child: Child,
    client: Client,
}

impl Process {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on("127.0.0.1", settings, Stdio::null()).await
    }

    pub async fn start_on(ip: &str, settings: &[(&str, &str)], log: Stdio) -> Self {
        // Both at once, so that they differ.
        let listeners = [free().await, free().await];
        let [addr, health] = listeners.map(|one| one.local_addr().expect("its address"));
        let child = Command::new(env!("CARGO_BIN_EXE_api"))
            .arg("serve")
            .env("HTTP_ADDR", format!("{ip}:{}", addr.port()))
            .env("HEALTH_ADDR", health.to_string())
            .envs(ALONE)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let token = tokens::headers(&tokens::admin());
        let client = Client::builder().timeout(BOUND).default_headers(token);
        let client = client.build().expect("a client");
        let process = Self {
            addr,
            health,
            child,
            client,
        };
        eventually("the program to answer", BOUND, async || {
            process.is_alive().await.then_some(())
        })
        .await;
        process
    }

    /// Whether this process, and no other, answers.
    pub async fn is_alive(&self) -> bool {
        let url = format!("http://{}/healthz", self.health);
        let answer = self.client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// What it tells of a metric, by label: lines of Prometheus' text format.
    pub async fn metric(&self, name: &str) -> Vec<String> {
        let url = format!("http://{}/metrics", self.health);
        let answer = self.client.get(url).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
        lines.sort_unstable();
        lines.into_iter().map(ToOwned::to_owned).collect()
    }

    pub async fn post(&self, query: &str) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("http://{}/graphql", self.addr);
        let body = json!({ "query": query });
        let response = self.client.post(url).json(&body).send().await?;
        Ok((response.status(), response.json().await?))
    }
}

async fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// A field whose argument has values within values.
fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{{a(b:{}1{})}}", open.repeat(depth), close.repeat(depth))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_within_values_are_refused_and_the_process_lives_on() {
    let mut api = Process::start(&[]).await;
    let pid = api.child.id();
    for depth in [400, 2_000, 5_000] {
        for (open, close) in [("[", "]"), ("{a:", "}"), ("[{a:", "}]")] {
            let query = nested(open, close, depth);
            let (status, body) = api.post(&query).await.expect("an answer");
            assert_eq!(status, StatusCode::OK, "{open} {depth}");
            assert_eq!(
                body["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX",
                "{body}"
            );
            let mut socket = Socket::open(api.addr).await;
            socket.subscribe("1", &query, json!({})).await;
            let answer = socket.receive().await.expect("an open socket").to_string();
            assert!(answer.contains("QUERY_TOO_COMPLEX"), "{answer}");
        }
    }
    assert!(api.is_alive().await);
    assert!(
        api.child.try_wait().expect("a status").is_none(),
        "it ended"
    );
    assert_eq!(api.child.id(), pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_is_warned_of() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    for (ip, is_warned) in [("0.0.0.0", true), ("127.0.0.1", false)] {
        let mut api = Process::start_on(ip, &[], Stdio::piped()).await;
        let log = api.child.stderr.take().expect("its log");
        api.child.start_kill().expect("it runs");
        let mut lines = BufReader::new(log).lines();
        let mut warnings = 0;
        while let Some(line) = lines.next_line().await.expect("text") {
            warnings += u32::from(line.contains("WARN") && line.contains("HTTP_ADDR"));
        }
        assert_eq!(warnings > 0, is_warned, "{ip}");
    }
}

//! Toxiproxy in front of the three servers: all of the programs' connections go through it, the check's do not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::host::Deadline;
use crate::programs::note;
use crate::site::{Site, variable};

/// How long it may take to answer.
const UP_BOUND: Duration = Duration::from_secs(10);

/// A line between the programs and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// To `MySQL`.
    Mysql,
    /// To the broker, which tells clients the proxy's address.
    Kafka,
    /// To the `MongoDB` side.
    Mongo,
}

impl Wire {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mysql, Self::Kafka, Self::Mongo];

    /// Its name at the proxy.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Kafka => "kafka",
            Self::Mongo => "mongo",
        }
    }
}

/// The proxy, a child of this process.
#[derive(Debug)]
pub struct Proxies {
    http: reqwest::Client,
    api: String,
    ports: [u16; 3],
    _process: Child,
}

impl Proxies {
    /// Starts it with a line to each server, all of them open.
    ///
    /// # Errors
    /// If a variable is missing, or it does not start.
    pub async fn start(log: &Path, notes: &Path) -> anyhow::Result<Self> {
        let port = |name: &str| -> anyhow::Result<u16> {
            let value = variable(name).with_context(|| format!("{name} is not set"))?;
            value.parse().with_context(|| format!("{name}={value}"))
        };
        let upstreams = [
            port("SHOP_MYSQL_PORT")?,
            port("SHOP_KAFKA_PROXIED_PORT")?,
            port("SHOP_MONGO_PORT")?,
        ];
        let ports = [
            port("CHAOS_MYSQL_PROXY_PORT")?,
            port("SHOP_KAFKA_PROXY_PORT")?,
            port("CHAOS_MONGO_PROXY_PORT")?,
        ];
        let api = port("CHAOS_PROXY_API_PORT")?;
        let binary = variable("CHAOS_TOXIPROXY").context("CHAOS_TOXIPROXY is not set")?;
        let log = std::fs::File::create(log)?;
        let process = Command::new(binary)
            .args(["-host", "127.0.0.1", "-port", &api.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start Toxiproxy")?;
        if let Some(pid) = process.id() {
            note(&notes.join("chaos-toxiproxy.pid"), pid);
        }
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        let proxies = Self {
            http,
            api: format!("http://127.0.0.1:{api}"),
            ports,
            _process: process,
        };
        let lines: Vec<Value> = Wire::ALL
            .iter()
            .zip(ports)
            .zip(upstreams)
            .map(|((wire, port), upstream)| {
                json!({
                    "name": wire.word(),
                    "listen": format!("127.0.0.1:{port}"),
                    "upstream": format!("127.0.0.1:{upstream}"),
                    "enabled": true,
                })
            })
            .collect();
        let deadline = Deadline::after(UP_BOUND);
        while let Err(error) = proxies
            .post("/populate", &Value::Array(lines.clone()))
            .await
        {
            ensure!(!deadline.passed(), "Toxiproxy does not answer: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(proxies)
    }

    /// A shop as its programs see it.
    ///
    /// # Errors
    /// If its addresses make no sense.
    pub fn in_front_of(&self, site: &Site) -> anyhow::Result<Site> {
        let [mysql, kafka, mongo] = self.ports;
        site.through(mysql, kafka, mongo)
    }

    /// Cuts every connection of a line and lets no new one in, or lets them in again.
    ///
    /// # Errors
    /// If the proxy does not answer.
    pub async fn cut(&self, wire: Wire, cut: bool) -> anyhow::Result<()> {
        let path = format!("/proxies/{}", wire.word());
        self.post(&path, &json!({ "enabled": !cut })).await
    }

    /// Puts a poison (Toxiproxy's word) into a line, in both directions.
    ///
    /// # Errors
    /// If the proxy does not answer.
    pub async fn spoil(&self, wire: Wire, kind: &str, attributes: &Value) -> anyhow::Result<()> {
        for stream in ["upstream", "downstream"] {
            let path = format!("/proxies/{}/toxics", wire.word());
            let toxic = json!({ "type": kind, "stream": stream, "attributes": attributes });
            self.post(&path, &toxic).await?;
        }
        Ok(())
    }

    /// Takes a poison out again.
    ///
    /// # Errors
    /// If the proxy does not answer.
    pub async fn clear(&self, wire: Wire, kind: &str) -> anyhow::Result<()> {
        for stream in ["upstream", "downstream"] {
            let path = format!(
                "{}/proxies/{}/toxics/{kind}_{stream}",
                self.api,
                wire.word()
            );
            self.http.delete(path).send().await?;
        }
        Ok(())
    }

    /// Opens every line and takes everything out.
    ///
    /// # Errors
    /// If the proxy does not answer.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.post("/reset", &json!({})).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let address = format!("{}{path}", self.api);
        let answer = self.http.post(address).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        ensure!(
            status.is_success(),
            "Toxiproxy answers {status} to {path}: {text}"
        );
        Ok(())
    }
}

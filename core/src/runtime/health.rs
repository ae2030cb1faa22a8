//! Whether a program is alive, whether it can work, and its figures: `/healthz`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, FutureExt, join_all};
use serde::Serialize;
use tokio::net::TcpListener;

use super::metrics;
use super::shutdown::Shutdown;

/// How long a dependency may take to answer.
pub const PROBE_BOUND: Duration = Duration::from_secs(2);
/// How long an answer is good for, so that a flood of questions does not become a flood of probes.
const FRESH: Duration = Duration::from_millis(250);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The state of a program for those who watch it. Clones share it.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    /// How long an answer is good for.
    fresh: Duration,
    probes: Arc<Mutex<BTreeMap<&'static str, Probe>>>,
    /// Held while probes run, so that only one round runs at a time.
    latest: Arc<tokio::sync::Mutex<Option<Round>>>,
}

/// The dependencies as they were at some moment.
struct Round {
    at: Instant,
    dependencies: BTreeMap<&'static str, Dependency>,
}

/// Whether a program can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// No dependency is registered yet.
    Starting,
    /// Every dependency answers.
    Ready,
    /// A dependency does not answer.
    NotReady,
    /// The program drains and takes no more work.
    ShuttingDown,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// All in all.
    pub status: Readiness,
    /// One by one.
    pub dependencies: BTreeMap<&'static str, Dependency>,
}

/// Whether a dependency answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyStatus {
    /// It does.
    Up,
    /// It does not, or says that it can not work.
    Down,
}

/// One dependency's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependency {
    /// Whether it answered.
    pub status: DependencyStatus,
    /// How long that took, in milliseconds.
    pub latency_ms: f64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Health {
    /// The state of a program that stops when `shutdown` says so, with no dependency yet.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            fresh: FRESH,
            probes: Arc::default(),
            latest: Arc::default(),
        }
    }

    /// Adds a dependency: a question to it that ends with `Ok` if it works, or with what is wrong in words without secrets.
    ///
    /// It is asked when somebody asks `/readyz`, never twice at once, and dropped after [`PROBE_BOUND`]. The same name again replaces the
    /// probe. A program with no dependency is "starting" and not ready.
    pub fn register<F, Fut>(&self, name: &'static str, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let probe: Probe = Arc::new(move || probe().boxed());
        self.probes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, probe);
    }

    /// Asks every dependency, or repeats an answer that is younger than a quarter of a second.
    pub async fn check(&self) -> Report {
        let mut latest = self.latest.lock().await;
        let probes = self
            .probes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let dependencies = match latest.as_ref() {
            Some(round) if round.answers(&probes, self.fresh) => round.dependencies.clone(),
            _ => {
                let answers = probes
                    .into_iter()
                    .map(async |(name, probe)| (name, ask(&probe).await));
                let dependencies: BTreeMap<_, _> = join_all(answers).await.into_iter().collect();
                *latest = Some(Round {
                    at: Instant::now(),
                    dependencies: dependencies.clone(),
                });
                dependencies
            }
        };
        Report {
            status: self.readiness(&dependencies),
            dependencies,
        }
    }

    /// Answers `/healthz`, `/readyz` and `/metrics` at an address, also while the program drains, until the process ends. Returns
    /// the address, which is another one if the port was 0.
    ///
    /// # Errors
    /// If the address is taken.
    pub async fn listen(&self, addr: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(addr).await;
        let listener =
            listener.with_context(|| format!("failed to listen on HEALTH_ADDR {addr}"))?;
        let addr = listener
            .local_addr()
            .context("failed to read the address of HEALTH_ADDR")?;
        let routes = self.router();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!("the health server stopped: {error}");
            }
        });
        Ok(addr)
    }

    fn router(&self) -> Router {
        let health = self.clone();
        Router::new()
            .route(
                "/healthz",
                get(async || Json(serde_json::json!({ "status": "alive" }))),
            )
            .route("/readyz", get(async move || health.readyz().await))
            .route("/metrics", get(prometheus_text))
    }

    /// In a task of its own: a client that hangs up does not cut a probe short in the middle of its question.
    async fn readyz(self) -> impl IntoResponse {
        let health = self.clone();
        let report = tokio::spawn(async move { health.check().await })
            .await
            .unwrap_or_else(|error| {
                tracing::error!("a readiness probe failed: {error}");
                Report {
                    status: Readiness::NotReady,
                    dependencies: BTreeMap::new(),
                }
            });
        let code = match report.status {
            Readiness::Ready => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, [(header::CACHE_CONTROL, "no-store")], Json(report))
    }

    fn readiness(&self, dependencies: &BTreeMap<&'static str, Dependency>) -> Readiness {
        if self.shutdown.is_requested() {
            Readiness::ShuttingDown
        } else if dependencies.is_empty() {
            Readiness::Starting
        } else if dependencies
            .values()
            .all(|one| one.status == DependencyStatus::Up)
        {
            Readiness::Ready
        } else {
            Readiness::NotReady
        }
    }
}

impl Round {
    fn answers(&self, probes: &BTreeMap<&'static str, Probe>, fresh: Duration) -> bool {
        self.at.elapsed() < fresh && self.dependencies.keys().eq(probes.keys())
    }
}

async fn ask(probe: &Probe) -> Dependency {
    let begun = Instant::now();
    let answer = match tokio::time::timeout(PROBE_BOUND, probe()).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PROBE_BOUND.as_secs())),
    };
    let latency_ms = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let status = if answer.is_ok() {
        DependencyStatus::Up
    } else {
        DependencyStatus::Down
    };
    Dependency {
        status,
        latency_ms,
        error: answer.err(),
    }
}

async fn prometheus_text() -> impl IntoResponse {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics::render())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn health() -> (Shutdown, Health) {
        let shutdown = Shutdown::new();
        (shutdown.clone(), Health::new(shutdown))
    }

    #[tokio::test]
    async fn a_program_without_dependencies_is_still_starting() {
        let (_, health) = health();
        assert_eq!(health.check().await.status, Readiness::Starting);
    }

    #[tokio::test]
    async fn one_dependency_that_is_away_makes_it_not_ready() {
        let (_, health) = health();
        health.register("mysql", async || Ok(()));
        assert_eq!(health.check().await.status, Readiness::Ready);
        health.register("kafka", async || Err("no broker answers".to_owned()));
        let report = health.check().await;
        assert_eq!(report.status, Readiness::NotReady);
        assert_eq!(report.dependencies["mysql"].status, DependencyStatus::Up);
        assert_eq!(
            report.dependencies["kafka"].error.as_deref(),
            Some("no broker answers")
        );
    }

    #[tokio::test]
    async fn a_program_that_drains_is_not_ready() {
        let (shutdown, health) = health();
        health.register("mysql", async || Ok(()));
        shutdown.request();
        assert_eq!(health.check().await.status, Readiness::ShuttingDown);
    }

    #[tokio::test]
    async fn many_questions_at_once_are_one_round_of_probes() {
        let (_, mut health) = health();
        health.fresh = Duration::MAX;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        health.register("mysql", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        join_all((0..100).map(|_| health.check())).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    /// What a path answers: status line with headers, and body.
    async fn answer(health: &Health, path: &str) -> (String, String) {
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let addr = health.listen(anywhere).await.expect("a free port");
        let mut stream = TcpStream::connect(addr).await.expect("a server");
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a server that reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn the_routes_answer() {
        metrics::install();
        let (_, health) = health();
        let (head, body) = answer(&health, "/healthz").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, r#"{"status":"alive"}"#);

        let (head, body) = answer(&health, "/readyz").await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(body, r#"{"status":"starting","dependencies":{}}"#);

        health.register("mysql", async || Ok(()));
        let (head, body) = answer(&health, "/readyz").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            body.starts_with(
                r#"{"status":"ready","dependencies":{"mysql":{"status":"up","latency_ms":"#
            ),
            "{body}"
        );

        let (head, _) = answer(&health, "/metrics").await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"),
            "{head}"
        );
    }
}

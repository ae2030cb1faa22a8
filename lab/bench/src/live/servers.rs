//! The servers that are compared, behind one face.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use shop_lab::programs::environment;
use shop_lab::site::Site;
use tokio::process::Command;

use super::process::{Helper, Process, released};
use super::store::{Prepared, Store};
use super::{Case, Kind, SOCKETS, Scene};
use crate::talk::{Answer, Ask, Stage, Transport};

/// How long a server may take until it serves.
const READY: Duration = Duration::from_secs(30);
/// Node's server, beside its packages.
const NODE_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node-server.mjs");

/// A server that runs.
pub(super) struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    program: Program,
}

enum Program {
    Api(Process),
    Plain(Helper),
    Node(Helper),
}

/// A version that only waits to be sent.
pub(super) enum Publication {
    /// To Kafka.
    Records(Prepared),
    /// To a helper.
    Word(Ask),
}

impl Server {
    /// Starts a fresh one, which knows the orders of the scene.
    pub async fn start(kind: Kind, scene: &Scene) -> anyhow::Result<Self> {
        match kind {
            Kind::Ours => start_api(&scene.site).await,
            Kind::Plain => {
                let mut helper = Helper::sockets("broadcast")?;
                let address = listening(&mut helper).await?;
                let program = Program::Plain(helper);
                Ok(Self { address, program })
            }
            Kind::Node => {
                let mut node = Command::new("node");
                node.arg(NODE_SERVER).env("NODE_ENV", "production");
                let mut helper = Helper::start("node", &mut node)?;
                let address = listening(&mut helper).await?;
                let stage = Stage {
                    orders: scene.store.orders(scene.options.subscribers),
                    states: scene.recorded.states()?,
                };
                helper.tell(&Ask::Stage(stage)).await?;
                let program = Program::Node(helper);
                Ok(Self { address, program })
            }
        }
    }

    /// How its subscribers talk.
    pub fn transport(&self, case: Case) -> Transport {
        match (&self.program, case) {
            (Program::Plain(_), _) => Transport::BareWs,
            (_, Case::Events) => Transport::Sse,
            _ => Transport::GraphqlWs,
        }
    }

    /// Whether it sends a frame that was recorded, and not one of its own.
    pub fn repeats(&self) -> bool {
        matches!(self.program, Program::Plain(_))
    }

    /// Gets ready to publish a version of the first orders.
    pub fn prepare(
        &self,
        scene: &Scene,
        orders: usize,
        version: u32,
    ) -> anyhow::Result<Publication> {
        Ok(match self.program {
            Program::Api(_) => Publication::Records(scene.store.prepare(orders, version)?),
            Program::Plain(_) => Publication::Word(Ask::Send(scene.recorded.frame(version)?)),
            Program::Node(_) => Publication::Word(Ask::Publish { orders, version }),
        })
    }

    /// Publishes it.
    pub async fn publish(&mut self, store: &Store, publication: Publication) -> anyhow::Result<()> {
        match (&mut self.program, publication) {
            (Program::Api(_), Publication::Records(prepared)) => store.publish(prepared).await,
            (Program::Plain(helper) | Program::Node(helper), Publication::Word(ask)) => {
                helper.tell(&ask).await
            }
            _ => bail!("what was prepared was for another server"),
        }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        match &self.program {
            Program::Api(process) => process,
            Program::Plain(helper) | Program::Node(helper) => &helper.process,
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        match self.program {
            Program::Api(process) => process.stop().await,
            Program::Plain(helper) | Program::Node(helper) => helper.process.stop().await,
        }
    }
}

async fn listening(helper: &mut Helper) -> anyhow::Result<SocketAddr> {
    match helper.hear(READY).await? {
        Answer::Listening(address) => Ok(address),
        other => bail!("expected to be told where it listens, not {other:?}"),
    }
}

fn free() -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0))
}

async fn start_api(site: &Site) -> anyhow::Result<Server> {
    // Free until somebody else takes them, which nobody does on purpose.
    let listeners = [free()?, free()?];
    let [address, health] = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    drop(listeners);
    let mut command = Command::new(released("api")?);
    command
        .arg("serve")
        .envs(environment(site, "api"))
        .env("HTTP_ADDR", address.to_string())
        .env("HEALTH_ADDR", health.to_string())
        .env("SOCKETS", SOCKETS.to_string())
        .env("SOCKETS_PER_USER", "0")
        // Pings would be counted as frames' cost; the others send none either.
        .env("SOCKET_IDLE_TIMEOUT", "1h")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut process = Process::start("api", &mut command)?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(3))
        .no_proxy()
        .build()?;
    let deadline = Instant::now() + READY;
    loop {
        let answer = http.get(format!("http://{health}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            let program = Program::Api(process);
            return Ok(Server { address, program });
        }
        if process.has_ended() || Instant::now() > deadline {
            return Err(anyhow::anyhow!("the API is not ready")).with_context(|| process.gone());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

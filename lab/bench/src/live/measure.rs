//! One server with one case of subscribers: opened, left alone, told every version, and stopped.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::time::sleep;

use super::process::Helper;
use super::servers::Server;
use super::{Case, FIRST_VERSION, Kind, LAST_VERSION, Scene, recorded};
use crate::clock;
use crate::talk::{Answer, Ask, Open, Wave};

/// How long subscribers are left alone before the memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// How long a server may take for what follows its last frame; it counts.
const AFTERMATH: Duration = Duration::from_millis(50);
/// How long opening all subscribers may take.
const OPENED: Duration = Duration::from_mins(5);
/// How long a version may take to all of them.
const TOLD: Duration = Duration::from_mins(2);

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// How many subscribers there were.
    pub subscribers: usize,
    /// How long it took to open them.
    pub opening: Duration,
    /// By how much their coming made the server grow, in bytes.
    pub grown: u64,
    /// The processor time that the server took to deliver all versions.
    pub cpu: Duration,
    /// Each version.
    pub told: Vec<Told>,
}

/// A version that was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// How many frames came.
    pub frames: usize,
    /// Their bytes together.
    pub bytes: usize,
    /// From publishing to the first.
    pub first: Duration,
    /// Until half of them were there.
    pub median: Duration,
    /// To the last.
    pub last: Duration,
}

/// Starts a server and measures it; `tell` is told what is going on.
pub(super) async fn measure(
    scene: &Scene,
    kind: Kind,
    case: Case,
    tell: &impl Fn(&str),
) -> anyhow::Result<Measured> {
    tell("the server starts");
    let mut server = Server::start(kind, scene).await?;
    let mut clients = Helper::sockets("clients")?;
    let measured = with_clients(scene, &mut server, &mut clients, case, tell).await;
    tell("the server stops");
    clients.process.stop().await;
    server.stop().await;
    measured
}

async fn with_clients(
    scene: &Scene,
    server: &mut Server,
    clients: &mut Helper,
    case: Case,
    tell: &impl Fn(&str),
) -> anyhow::Result<Measured> {
    let subscribers = scene.options.subscribers;
    let orders = match case {
        Case::OneOrder => 1,
        Case::OwnOrders | Case::Events => subscribers,
    };
    let open = Open {
        address: server.address,
        transport: server.transport(case),
        subscribers,
        token: scene.store.token()?,
        orders: scene.store.orders(orders),
        document: super::DOCUMENT.to_owned(),
    };
    tell("subscribers come");
    let before = server.process().resident()?;
    let began = Instant::now();
    clients.tell(&Ask::Open(open)).await?;
    let first = opened(clients).await?;
    let opening = began.elapsed();
    if let Some(frame) = first.filter(|_| case == Case::OneOrder) {
        recorded::check(&frame, FIRST_VERSION)?;
        scene.recorded.keep(FIRST_VERSION, &frame);
    }
    tell("subscribers are left alone");
    sleep(IDLE).await;
    let grown = server.process().resident()?.saturating_sub(before);
    let mut told = Vec::new();
    let cpu = server.process().cpu()?;
    if case != Case::Events {
        for version in FIRST_VERSION + 1..=LAST_VERSION {
            tell(&format!("version {version} is told"));
            told.push(tell_version(scene, server, clients, orders, version).await?);
        }
        sleep(AFTERMATH).await;
    }
    Ok(Measured {
        subscribers,
        opening,
        grown,
        cpu: server.process().cpu()?.since(&cpu),
        told,
    })
}

async fn tell_version(
    scene: &Scene,
    server: &mut Server,
    clients: &mut Helper,
    orders: usize,
    version: u32,
) -> anyhow::Result<Told> {
    let publication = server.prepare(scene, orders, version)?;
    clients.tell(&Ask::Count).await?;
    match clients.hear(TOLD).await? {
        Answer::Counting => {}
        other => bail!("expected the clients to count, not {other:?}"),
    }
    let began = clock::now();
    server.publish(&scene.store, publication).await?;
    let wave = match clients.hear(TOLD).await? {
        Answer::Wave(wave) => wave,
        other => bail!("expected frames, not {other:?}"),
    };
    recorded::check(&wave.sample, version)?;
    scene.recorded.keep(version, &wave.sample);
    if server.repeats() {
        let recorded = scene.recorded.frame(version)?;
        ensure!(wave.sample == recorded, "not the bytes that were recorded");
    }
    Ok(told(&wave, began))
}

async fn opened(clients: &mut Helper) -> anyhow::Result<Option<String>> {
    match clients.hear(OPENED).await? {
        Answer::Opened(first) => Ok(first),
        other => bail!("expected the subscribers to be open, not {other:?}"),
    }
}

fn told(wave: &Wave, began: u64) -> Told {
    let since = |at: u64| Duration::from_nanos(at.saturating_sub(began));
    Told {
        frames: wave.frames,
        bytes: wave.bytes,
        first: since(wave.first),
        median: since(wave.median),
        last: since(wave.last),
    }
}

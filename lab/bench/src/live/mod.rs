//! Directs the measurement: feeds the API with copies of one order, opens subscribers, publishes, and judges what it cost.
//!
//! Every server gets fresh processes for every case and round, its own and the clients', one server after the other: what the
//! machine does besides hits all of them. What counts is the server's processor time per delivered frame; the clients have the same cores.

mod copies;
mod figures;
mod goals;
mod measure;
mod options;
pub(crate) mod process;
mod recorded;
mod report;
mod servers;
mod store;
mod template;

use anyhow::{Context as _, bail};
use serde::Serialize;
use shop_lab::programs::target;
use shop_lab::site::Site;
use shop_lab::stage::{Progress, interrupted};

use figures::Figures;
use recorded::Recorded;
use report::Report;
use store::Store;

use crate::limit;

pub use options::Options;

/// Sockets that the API takes, and that one process here can hold.
const SOCKETS: usize = 20_000;
/// Files that a process has open besides its sockets, at most.
const FILES_BESIDES: usize = 500;
/// The version that a subscriber finds in the view; every later one is a frame.
const FIRST_VERSION: u32 = 1;
/// DELIVERED.
const LAST_VERSION: u32 = 6;
/// What every subscriber asks for.
const DOCUMENT: &str = "subscription($orderId: ID!) { orderStatusChanged(orderId: $orderId) { \
     kind cursor version status previousStatus at \
     order { id version status total { amount currencyCode } items { productName quantity } } } }";

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The API.
    Ours,
    /// The plain broadcast.
    Plain,
    /// `graphql-ws` on Node.
    Node,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Case {
    /// All subscribers have one order.
    OneOrder,
    /// Each has its own.
    OwnOrders,
    /// Each has its own, as server-sent events; nothing is published.
    Events,
}

/// What is measured in a round, in this order: the plain broadcast repeats what the API sent.
const ROUND: [(Kind, Case); 6] = [
    (Kind::Ours, Case::OneOrder),
    (Kind::Plain, Case::OneOrder),
    (Kind::Node, Case::OneOrder),
    (Kind::Ours, Case::OwnOrders),
    (Kind::Node, Case::OwnOrders),
    (Kind::Ours, Case::Events),
];

impl Kind {
    /// What tables call it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "the API",
            Self::Plain => "plain broadcast",
            Self::Node => "Node graphql-ws",
        }
    }
}

impl Case {
    /// What tables call it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::OneOrder => "one order",
            Self::OwnOrders => "own orders",
            Self::Events => "own orders, SSE",
        }
    }
}

/// What every measurement needs.
struct Scene {
    options: Options,
    site: Site,
    store: Store,
    recorded: Recorded,
}

/// Runs, and says whether every goal was reached.
///
/// # Errors
/// If it could not be run to its end.
pub async fn bench(options: &Options) -> anyhow::Result<bool> {
    limit::raise(options.subscribers + FILES_BESIDES)?;
    let site = Site::create("bench").await?;
    let progress = Progress::start();
    let figures = tokio::select! {
        figures = measure_all(options, &site, &progress) => figures,
        // What was started is killed with its handles.
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    progress.finish();
    site.remove().await;
    let report = Report::new(options, &figures?)?;
    print!("{}", report.table());
    let file = target()?.join("bench-live.json");
    report.write(&file)?;
    println!("\nwritten to {}", file.display());
    Ok(report.is_good())
}

async fn measure_all(
    options: &Options,
    site: &Site,
    progress: &Progress,
) -> anyhow::Result<Figures> {
    progress.set("one order goes through the programs");
    let template = template::make(site).await?;
    progress.set("the order is copied");
    let scene = Scene {
        options: *options,
        site: site.clone(),
        store: Store::open(site, template, options.subscribers).await?,
        recorded: Recorded::default(),
    };
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for (kind, case) in ROUND {
            let (server, what) = (kind.as_str(), case.as_str());
            let doing = format!("round {round} of {}: {server}, {what}", options.rounds);
            let tell = |now: &str| progress.set(format!("{doing}: {now}"));
            let measured = measure::measure(&scene, kind, case, &tell).await;
            let measured = measured.with_context(|| format!("{doing} failed"))?;
            figures.note(kind, case, measured);
        }
    }
    if figures.is_empty() {
        bail!("nothing was measured");
    }
    Ok(figures)
}

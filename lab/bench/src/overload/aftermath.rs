//! What became of the orders: each that was acknowledged is there once, and no other one is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use shop_lab::check::evidence::Acknowledged;
use shop_lab::check::quiet::{self, Waiting};
use shop_lab::check::{Kind, Violation, judge, read};
use shop_lab::client::Journal;
use shop_lab::programs::Programs;
use shop_lab::site::Site;
use shop_lab::stage::Progress;
use uuid::Uuid;

use super::answer::{Order, Outcome, order, outcome};
use super::line::Line;
use super::scene::Scene;
use super::tally::Tally;

/// How long it may take until the consumers have caught up.
pub(super) const QUIET_BOUND: Duration = Duration::from_mins(5);
/// How long all requests together may take that are sent again.
const AGAIN_BOUND: Duration = Duration::from_mins(2);
/// How often one is sent again that is not answered.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    /// Orders that were acknowledged, at once or when they were asked for again.
    pub orders: usize,
    /// Requests of which nobody knew what became of them, and which were sent again.
    pub unknown: usize,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

/// Sends again what was not answered and some of what was, waits until nothing is under way, and compares what `MySQL`, the topics,
/// the views and the clients say.
///
/// # Errors
/// If it can not be found out.
pub(super) async fn look(
    scene: &Scene,
    site: &Site,
    programs: &Programs,
    journal: &Journal,
    tallies: &[&Tally],
    progress: &Progress,
) -> anyhow::Result<Aftermath> {
    let mut found = Aftermath::default();
    let deadline = Instant::now() + AGAIN_BOUND;
    for tally in tallies {
        for order in &tally.orders {
            acknowledge(journal, order)?;
        }
        found.orders += tally.orders.len();
        for surprise in &tally.surprises {
            journal.wonder(surprise.clone());
        }
        progress.set("asking again for what was answered");
        for (number, (request, first)) in tally.again.iter().enumerate() {
            let key = format!("of order {number}, {}", first.id);
            note_outcome(journal, &key, first);
            match ask_again(scene, request, deadline).await? {
                Some(again) => note_outcome(journal, &key, &again),
                None => journal.wonder(format!("no answer again {key}")),
            }
        }
        progress.set("asking again for what was not answered");
        found.unknown += tally.unknown.len();
        for request in &tally.unknown {
            match ask_again(scene, request, deadline).await? {
                Some(order) => {
                    acknowledge(journal, &order)?;
                    found.orders += 1;
                }
                None => journal.lose_order("no answer, however often it was asked for".to_owned()),
            }
        }
    }
    progress.set("waiting until nothing is under way");
    let quiet = quiet::wait(site, QUIET_BOUND, Waiting::Stock, Vec::new).await?;
    progress.set("comparing MySQL, topics and views");
    let evidence = read::read(site, journal.clients()).await?;
    found.violations = judge::judge(&evidence);
    found.violations.extend(quiet.violations);
    for death in programs.deaths() {
        let violation = Violation::new(12, "a program died by itself", death);
        found.violations.push(violation);
    }
    Ok(found)
}

fn acknowledge(journal: &Journal, order: &Order) -> anyhow::Result<()> {
    let bare = order.id.strip_prefix("order_");
    let bare = bare.with_context(|| format!("{} is no order's id", order.id))?;
    journal.acknowledge(Acknowledged {
        mutation: "createOrder",
        kind: Kind::Order,
        id: Uuid::try_parse(bare)?,
        version: Some(order.version),
        status: Some(order.status.clone()),
        reference: None,
    });
    Ok(())
}

fn note_outcome(journal: &Journal, key: &str, order: &Order) {
    let Order {
        id,
        version,
        status,
    } = order;
    let order = serde_json::json!({ "id": id, "version": version, "status": status });
    journal.outcome(key, &order);
}

/// Sends a request for an order until it is answered. `None` if it is not.
async fn ask_again(
    scene: &Scene,
    request: &Arc<[u8]>,
    deadline: Instant,
) -> anyhow::Result<Option<Order>> {
    for _ in 0..TRIES {
        if Instant::now() > deadline {
            break;
        }
        let mut line = Line::open(scene.address).await?;
        if let Ok(told) = line.ask(request).await
            && outcome(told.status, told.body) == Outcome::Served
            && let Ok(order) = order(told.body)
        {
            return Ok(Some(order));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

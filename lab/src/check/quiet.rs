//! Waits until nothing is under way any more, with a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Binary, Document, doc};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use super::evidence::{Kind, Watched};
use super::read::groups::Groups;
use super::read::{mongo, mysql};
use super::violation::Violation;
use crate::host::Deadline;
use crate::site::Site;

const PAUSE: Duration = Duration::from_millis(100);
/// How many times in a row nothing may be found under way, so that a moment between two steps does not count as the end.
const TIMES: u32 = 3;

/// Orders that stock-reservation has not followed yet.
const UNDECIDED: &str = "SELECT BIN_TO_UUID(id), status, state FROM orders LEFT JOIN stock_orders ON order_id = id \
     WHERE state IS NULL OR (state = 'HELD' AND status IN ('SHIPPED', 'DELIVERED', 'CANCELED', 'REJECTED'))";

/// How it went.
#[derive(Debug)]
pub struct Quiet {
    /// When it was quiet first; `None` if never within the bound.
    pub since: Option<Instant>,
    /// What was under way at the end of the bound.
    pub violations: Vec<Violation>,
}

/// Which orders are on their way to somewhere by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Those that wait for their stock.
    Stock,
    /// Those too that wait for their payment: its time is short, and the order is canceled soon.
    StockOrPayment,
}

/// Waits until the outbox is empty, no order is on its way by itself, every view is as new as its row, every subscriber
/// has seen its order's last version, and every group has read its topics to their ends.
///
/// # Errors
/// If a server does not answer.
pub async fn wait(
    site: &Site,
    bound: Duration,
    waiting: Waiting,
    watched: impl Fn() -> Vec<Watched>,
) -> anyhow::Result<Quiet> {
    let deadline = Deadline::after(bound);
    let mut conn = mysql::connect(&site.mysql_dsn).await?;
    let database = mongo::open(&site.mongo_uri).await?;
    let groups = Arc::new(Groups::open(&site.kafka_brokers, &site.topic_prefix)?);
    let mut since = None;
    let mut times = 0;
    let mut newest = None;
    loop {
        let moment = Instant::now();
        let mark: Option<u64> = conn
            .query_first("SELECT MAX(seq) FROM outbox")
            .await?
            .flatten();
        let mut under_way = under_way(&mut conn, &database, waiting, &watched()).await?;
        let too_late = deadline.passed();
        // Asked last: what they have read is noted at the broker up to a second later.
        if under_way.is_empty() || too_late {
            let groups = Arc::clone(&groups);
            let behind = tokio::task::spawn_blocking(move || groups.behind()).await??;
            under_way.extend(behind);
        }
        if under_way.is_empty() && (times == 0 || mark == newest) {
            since.get_or_insert(moment);
            times += 1;
        } else {
            since = None;
            times = 0;
        }
        newest = mark;
        if times >= TIMES || too_late {
            conn.disconnect().await?;
            let since = since.filter(|_| times >= TIMES);
            let violations = under_way
                .into_iter()
                .map(|(subject, problem)| {
                    let problem = format!("{problem}, after {} s of waiting", bound.as_secs());
                    let invariant = if subject.starts_with("group ") {
                        10
                    } else {
                        12
                    };
                    Violation::new(invariant, subject, problem)
                })
                .collect();
            return Ok(Quiet { since, violations });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn under_way(
    conn: &mut Conn,
    database: &Database,
    waiting: Waiting,
    watched: &[Watched],
) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let unsent: Vec<u64> = conn
        .query("SELECT seq FROM outbox WHERE processed_at IS NULL ORDER BY seq LIMIT 5")
        .await?;
    if !unsent.is_empty() {
        found.push((format!("outbox rows {unsent:?}"), "are not sent".to_owned()));
    }
    let statuses = match waiting {
        Waiting::Stock => "('PENDING')",
        Waiting::StockOrPayment => "('PENDING', 'CONFIRMED')",
    };
    let sql = format!("SELECT BIN_TO_UUID(id), status FROM orders WHERE status IN {statuses}");
    let waiting: Vec<(String, String)> = conn.query(sql).await?;
    for (id, status) in waiting {
        found.push((format!("order_{id}"), format!("is still {status}")));
    }
    let undecided: Vec<(String, String, Option<String>)> = conn.query(UNDECIDED).await?;
    for (id, status, state) in undecided {
        let state = state.unwrap_or_else(|| "undecided".to_owned());
        found.push((
            format!("order_{id}"),
            format!("is {status}, its stock is still {state}"),
        ));
    }
    let mut orders = BTreeMap::new();
    for kind in Kind::VIEWED {
        let rows = row_versions(conn, kind).await?;
        let views = view_versions(database, kind).await?;
        for (id, version) in &rows {
            let view = views.get(id).copied().unwrap_or(0);
            if view != *version {
                let problem = format!("view at version {view}, row at version {version}");
                found.push((kind.id(*id).to_string(), problem));
            }
        }
        if kind == Kind::Order {
            orders = rows;
        }
    }
    for watched in watched {
        let (seen, version) = (
            watched.last_version().unwrap_or(0),
            orders.get(&watched.order),
        );
        if version.is_some_and(|version| seen < *version) {
            let problem = format!("subscriber at version {seen}, row at version {version:?}");
            found.push((Kind::Order.id(watched.order).to_string(), problem));
        }
    }
    Ok(found)
}

async fn row_versions(conn: &mut Conn, kind: Kind) -> anyhow::Result<BTreeMap<Uuid, u32>> {
    let sql = match kind {
        Kind::User => "SELECT BIN_TO_UUID(id), version FROM users",
        Kind::Product => "SELECT BIN_TO_UUID(id), version FROM products",
        Kind::Order => "SELECT BIN_TO_UUID(id), version FROM orders",
        Kind::Stock => "SELECT BIN_TO_UUID(order_id), version FROM stock_orders",
        Kind::StockLevel => "SELECT BIN_TO_UUID(product_id), version FROM stock",
    };
    let rows: Vec<(String, u32)> = conn.query(sql).await?;
    rows.into_iter()
        .map(|(id, version)| Ok((Uuid::try_parse(&id)?, version)))
        .collect()
}

async fn view_versions(database: &Database, kind: Kind) -> anyhow::Result<BTreeMap<Uuid, u32>> {
    let Some(collection) = kind.collection() else {
        return Ok(BTreeMap::new());
    };
    let collection = mongo::served(database, collection).await?;
    let documents: Vec<Document> = database
        .collection(&collection)
        .find(doc! {})
        .projection(doc! { "version": 1 })
        .await?
        .try_collect()
        .await?;
    documents
        .into_iter()
        .map(|document| {
            let id: &Binary = match document.get("_id") {
                Some(mongodb::bson::Bson::Binary(id)) => id,
                other => anyhow::bail!("{collection} has a document with _id {other:?}"),
            };
            let version = document.get_i64("version").unwrap_or(0);
            Ok((Uuid::from_slice(&id.bytes)?, u32::try_from(version)?))
        })
        .collect()
}

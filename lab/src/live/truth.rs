//! What orders went through, as their timelines say at the end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::Run;

const TIMELINES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Order { id status version timeline { version to } } } }";
/// Orders that are asked for at once.
const AT_ONCE: usize = 50;
/// How long the views may take to have the last step.
const BOUND: Duration = Duration::from_mins(1);
/// Between two questions about a view that is not there yet.
const PAUSE: Duration = Duration::from_millis(150);

/// Of each order its statuses, version by version.
#[derive(Debug, Default)]
pub struct Truth(HashMap<Uuid, Vec<String>>);

impl Truth {
    /// Asks for the timelines of orders that have taken their last step.
    ///
    /// # Errors
    /// If the views do not have that within a bound, or a timeline is no timeline.
    pub async fn ask(run: &Run, orders: &[Uuid]) -> anyhow::Result<Self> {
        let deadline = Instant::now() + BOUND;
        let mut truth = Self::default();
        for some in orders.chunks(AT_ONCE) {
            let ids: Vec<String> = some.iter().map(|order| format!("order_{order}")).collect();
            loop {
                let (shop, ids) = (&run.shop, json!({ "ids": ids }));
                let found = shop.query(shop.staff(), TIMELINES, ids).await?;
                let found = found["nodes"].as_array().cloned().unwrap_or_default();
                ensure!(found.len() == some.len(), "{} orders are gone", some.len());
                if found.iter().all(|order| order["status"] == "DELIVERED") {
                    for (id, order) in some.iter().zip(&found) {
                        truth.0.insert(*id, statuses(order)?);
                    }
                    break;
                }
                if Instant::now() > deadline {
                    bail!("orders are not delivered after {BOUND:?}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(truth)
    }

    /// How many versions an order has.
    pub fn versions(&self, order: Uuid) -> u32 {
        let statuses = self.0.get(&order).map_or(0, Vec::len);
        u32::try_from(statuses).unwrap_or(u32::MAX)
    }

    /// How many versions there are of all orders.
    pub fn all_versions(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The status that an order had in a version.
    pub fn status(&self, order: Uuid, version: u32) -> Option<&str> {
        let number = usize::try_from(version.checked_sub(1)?).ok()?;
        self.0.get(&order)?.get(number).map(String::as_str)
    }

    /// Whether it is one of these orders.
    pub fn knows(&self, order: Uuid) -> bool {
        self.0.contains_key(&order)
    }

    #[cfg(test)]
    pub fn of(order: Uuid, statuses: &[&str]) -> Self {
        let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
        Self([(order, statuses)].into())
    }
}

fn statuses(order: &Value) -> anyhow::Result<Vec<String>> {
    let timeline = order["timeline"].as_array().context("no timeline")?;
    let entry = |(number, entry): (usize, &Value)| {
        let version = u64::try_from(number)? + 1;
        ensure!(
            entry["version"] == version,
            "a timeline with a gap: {order}"
        );
        let status = entry["to"].as_str().context("an entry without a status")?;
        Ok(status.to_owned())
    };
    timeline.iter().enumerate().map(entry).collect()
}

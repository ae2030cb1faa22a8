//! Buyers who keep asking for their orders while others change them: a view never falls back, and is never older than what a
//! subscriber was told before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::figures::Hop;
use super::run::Run;
use crate::check::Violation;
use crate::check::evidence::Kind;
use crate::client::documents;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(25);

/// A reader at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Reader(JoinHandle<()>);

impl Reader {
    /// Starts to ask.
    pub fn start(run: &Run) -> Self {
        let run = run.clone();
        Self(tokio::spawn(async move {
            let mut newest: HashMap<Uuid, u64> = HashMap::new();
            loop {
                tokio::time::sleep(PAUSE).await;
                let Some(order) = run.any_order() else {
                    continue;
                };
                let told = u64::from(run.journal.last_version(order).unwrap_or(0));
                let variables = json!({ "id": format!("order_{order}") });
                let sent = Instant::now();
                let Ok(buyer) = run.shop.buyer(order) else {
                    continue;
                };
                // Nobody there for a long time is said by the clients.
                let answer = run.shop.query(&buyer, documents::ORDER, variables);
                let Ok(answer) = answer.await else {
                    continue;
                };
                run.figures.note(Hop::OrderQueried, sent.elapsed());
                let version = answer["order"]["version"].as_u64().unwrap_or(0);
                let before = newest.entry(order).or_default();
                for (known, by) in [(*before, "the view itself"), (told, "a subscriber")] {
                    if version < known {
                        let problem = format!("the view is at {version} after {by} said {known}");
                        run.violate(Violation::new(8, Kind::Order.id(order), problem));
                    }
                }
                *before = version.max(*before);
            }
        }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! How long a killed program's place stays empty: until it, or another copy, does its first work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::host::Ticks;
use crate::programs::Programs;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(20);
/// How long it is asked.
const BOUND: Duration = Duration::from_secs(30);
/// The same place is at work again; on a machine that has the processors for it.
pub const SAME: Duration = Duration::from_secs(2);
/// Another copy takes over.
pub const OTHER: Duration = Duration::from_secs(7);

/// How long one place was empty.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Whose place.
    pub label: String,
    /// How long; `None` if it was still empty at the end.
    pub took: Option<Duration>,
    /// What it may take on a machine of its own: [`SAME`] or [`OTHER`].
    pub bound: Duration,
    /// How many times longer that may be, since others wanted the processors too.
    pub slower: f64,
    /// How many percent of the processor the host withheld meanwhile.
    pub withheld: f64,
}

impl Gap {
    /// Whether it was longer than on a machine of its own it may be.
    pub fn is_longer(&self) -> bool {
        self.took.is_none_or(|took| took > self.bound)
    }
}

/// Kills programs and measures.
#[derive(Debug)]
pub struct Back {
    programs: Arc<Programs>,
    http: reqwest::Client,
    measuring: Mutex<JoinSet<Option<Gap>>>,
    /// How often each was killed here: only the last kill's gap has an end.
    kills: Arc<Mutex<HashMap<String, u32>>>,
}

impl Back {
    /// Measures these programs.
    pub fn new(programs: Arc<Programs>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(1))
            .no_proxy();
        Self {
            programs,
            http: http.build().unwrap_or_default(),
            measuring: Mutex::default(),
            kills: Arc::default(),
        }
    }

    /// Kills a program and measures how long its place is empty. False if it is not running.
    pub fn kill(&self, label: &str) -> bool {
        if !self.programs.kill(label) {
            return false;
        }
        let number = {
            let mut kills = self.kills.lock().unwrap_or_else(PoisonError::into_inner);
            let number = kills.entry(label.to_owned()).or_default();
            *number += 1;
            *number
        };
        let (kills, http, programs) = (
            Arc::clone(&self.kills),
            self.http.clone(),
            Arc::clone(&self.programs),
        );
        let label = label.to_owned();
        let mut measuring = self
            .measuring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        measuring.spawn(async move {
            let (killed, before) = (Instant::now(), Ticks::now());
            let relay = label.starts_with("outbox-relay");
            let bound = if relay { OTHER } else { SAME };
            let mut took = None;
            while killed.elapsed() < BOUND && took.is_none() {
                let newest = {
                    let kills = kills.lock().unwrap_or_else(PoisonError::into_inner);
                    kills.get(&label).copied()
                };
                if newest != Some(number) {
                    return None; // killed again before it was at work
                }
                if at_work(&http, &programs, &label).await {
                    took = Some(killed.elapsed());
                }
                tokio::time::sleep(EVERY).await;
            }
            let withheld = Ticks::now().zip(before);
            let withheld = withheld.map_or(0.0, |(now, before)| now.withheld_since(before));
            Some(Gap {
                label,
                took,
                bound,
                slower: slowness(),
                withheld,
            })
        });
        true
    }

    /// Whether a relay says that it leads.
    pub async fn leads(&self, relay: &str) -> bool {
        sum(&self.http, &self.programs, relay, "outbox_leader").await > 0.0
    }

    /// Waits for the last ones; all gaps since it was asked last.
    pub async fn take_gaps(&self) -> Vec<Gap> {
        let mut measuring = std::mem::take(
            &mut *self
                .measuring
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let mut gaps = Vec::new();
        while let Some(gap) = measuring.join_next().await {
            gaps.extend(gap.ok().flatten());
        }
        gaps
    }
}

/// How many times longer things take since others want the processors too: what is under way, per two of each processor;
/// never less than 1.
fn slowness() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = u32::try_from(processors).map_or(1.0, f64::from);
    (load / (2.0 * processors)).max(1.0)
}

/// The API answers; some relay leads; a consumer has dealt with a record since it began.
async fn at_work(http: &reqwest::Client, programs: &Programs, label: &str) -> bool {
    if label == "api" {
        return read(http, programs, label, "readyz").await.is_some();
    }
    if label.starts_with("outbox-relay") {
        for relay in programs.labels_of("outbox-relay") {
            if sum(http, programs, &relay, "outbox_leader").await > 0.0 {
                return true;
            }
        }
        return false;
    }
    sum(http, programs, label, "kafka_messages_processed_total{").await > 0.0
}

/// The sum of a metric's lines.
async fn sum(http: &reqwest::Client, programs: &Programs, label: &str, name: &str) -> f64 {
    let text = read(http, programs, label, "metrics")
        .await
        .unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

async fn read(
    http: &reqwest::Client,
    programs: &Programs,
    label: &str,
    path: &str,
) -> Option<String> {
    let address = programs.health(label)?;
    let answer = http
        .get(format!("http://{address}/{path}"))
        .send()
        .await
        .ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.text().await.ok()
}

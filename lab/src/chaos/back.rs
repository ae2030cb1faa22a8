//! How long a killed program's place stays empty: until it, or another copy, does its first work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::host::{Deadline, Stopwatch};
use crate::programs::Programs;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(20);
/// How long it is asked, on a machine of its own.
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
    /// How it ended.
    pub end: End,
    /// How long it lasted.
    pub took: Duration,
    /// How much of that the host let this machine run: what counts.
    pub granted: Duration,
    /// What it may take on a machine of its own: [`SAME`] or [`OTHER`].
    pub bound: Duration,
    /// How many times longer that may be here: `SLOWER`, and since others wanted the processors too.
    pub slower: f64,
    /// How many percent of the processor the host withheld meanwhile.
    pub withheld: f64,
}

/// How a gap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum End {
    /// The place is filled.
    AtWork,
    /// No record comes any more that would show it.
    NothingToDo,
    /// It was still empty when nobody asked any more.
    Never,
}

impl Gap {
    /// Whether it was longer than on a machine of its own it may be.
    pub fn is_longer(&self) -> bool {
        self.is_longer_than(self.bound)
    }

    /// What it may take here.
    pub fn bound_here(&self) -> Duration {
        self.bound.mul_f64(self.slower)
    }

    /// Whether it was longer than that, or has no end.
    pub fn is_longer_than(&self, bound: Duration) -> bool {
        self.end == End::Never || self.granted > bound
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
    /// Whether consumers have records to show that they are at work.
    records_come: Arc<AtomicBool>,
    /// `SLOWER`.
    slower: f64,
}

impl Back {
    /// Measures these programs, on a machine that is so many times slower than one of its own.
    pub fn new(programs: Arc<Programs>, slower: f64) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(1))
            .no_proxy();
        Self {
            programs,
            http: http.build().unwrap_or_default(),
            measuring: Mutex::default(),
            kills: Arc::default(),
            records_come: Arc::new(AtomicBool::new(true)),
            slower,
        }
    }

    /// Says whether there are records that consumers can show their work by.
    pub fn records_come(&self, come: bool) {
        self.records_come.store(come, Ordering::SeqCst);
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
        let (kills, records_come) = (Arc::clone(&self.kills), Arc::clone(&self.records_come));
        let (http, programs) = (self.http.clone(), Arc::clone(&self.programs));
        let slower = self.slower;
        let label = label.to_owned();
        let mut measuring = self
            .measuring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        measuring.spawn(async move {
            let killed = Stopwatch::start();
            let deadline = Deadline::after(BOUND.mul_f64(slower));
            let relay = label.starts_with("outbox-relay");
            let bound = if relay { OTHER } else { SAME };
            let shows_by_records = !relay && label != "api";
            let end = loop {
                let newest = {
                    let kills = kills.lock().unwrap_or_else(PoisonError::into_inner);
                    kills.get(&label).copied()
                };
                if newest != Some(number) {
                    return None; // killed again before it was at work
                }
                if at_work(&http, &programs, &label).await {
                    break End::AtWork;
                }
                if shows_by_records && !records_come.load(Ordering::SeqCst) {
                    break End::NothingToDo;
                }
                if deadline.passed() {
                    break End::Never;
                }
                tokio::time::sleep(EVERY).await;
            };
            Some(Gap {
                label,
                end,
                took: killed.elapsed(),
                granted: killed.granted(),
                bound,
                slower: slowness() * slower,
                withheld: killed.withheld(),
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

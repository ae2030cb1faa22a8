//! What the clients did and saw, for the check.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};
use uuid::Uuid;

use super::diary::Diary;

use crate::check::Clients;
use crate::check::evidence::{Acknowledged, Frame, RefusedPayment, Watched};

/// Written by all clients of a run. A copy writes into the same journal.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    clients: Clients,
    arrivals: Vec<Instant>,
    lost: BTreeMap<String, usize>,
    diary: Option<Diary>,
}

impl Journal {
    /// A journal that notes every request, answer and frame in a file too.
    ///
    /// # Errors
    /// If the file can not be written.
    pub fn with_diary(file: &Path) -> anyhow::Result<Self> {
        let diary =
            Diary::begin(file).with_context(|| format!("failed to write {}", file.display()))?;
        let journal = Self::default();
        journal.lock().diary = Some(diary);
        Ok(journal)
    }

    /// Notes a request; its number is for [`Journal::answered`].
    pub fn sent(&self, document: &str, variables: &Value) -> u64 {
        let mut pages = self.lock();
        let Some(diary) = &mut pages.diary else {
            return 0;
        };
        let number = diary.number();
        // Which mutation or query it is: its first words.
        let what: String = document.chars().take(60).collect();
        diary.note(json!({ "request": number, "what": what, "variables": variables }));
        number
    }

    /// Notes what came for a request: its answer, or why there is none.
    pub fn answered(&self, request: u64, answer: Result<&Value, &str>) {
        let mut pages = self.lock();
        if let Ok(answer) = answer {
            let errors = answer["errors"].as_array().into_iter().flatten();
            for error in errors.filter(|error| !is_explained(error)) {
                pages.clients.surprises.push(error.to_string());
            }
        }
        if let Some(diary) = &mut pages.diary {
            diary.note(match answer {
                Ok(answer) => json!({ "answer": request, "body": answer }),
                Err(problem) => json!({ "answer": request, "none": problem }),
            });
        }
    }

    /// Notes a record that was put into a topic and is no event.
    pub fn poison(&self, topic: &'static str, partition: i32, offset: i64) {
        let place = (topic, partition, offset);
        self.lock().clients.poison.insert(place);
    }

    /// Notes the outcome that was answered under an idempotency key.
    pub fn outcome(&self, key: &str, order: &Value) {
        let outcome = format!("{} {} {}", order["id"], order["version"], order["status"]);
        let mut pages = self.lock();
        let outcomes = pages.clients.outcomes.entry(key.to_owned());
        outcomes.or_default().push(outcome);
    }

    /// Notes a refusal that nothing explains.
    pub fn wonder(&self, at: String) {
        self.lock().clients.surprises.push(at);
    }

    /// Notes a mutation that was acknowledged.
    pub fn acknowledge(&self, acknowledged: Acknowledged) {
        self.lock().clients.acknowledged.push(acknowledged);
    }

    /// Notes a payment that was refused.
    pub fn refuse_payment(&self, refused: RefusedPayment) {
        self.lock().clients.refused_payments.push(refused);
    }

    /// Notes an order that was sent and of which no answer came that says what happened; and what came instead.
    pub fn lose_order(&self, instead: String) {
        let mut pages = self.lock();
        pages.clients.unknown_orders += 1;
        *pages.lost.entry(without_trace(instead)).or_default() += 1;
    }

    /// What came instead of answers, and how often.
    pub fn lost(&self) -> BTreeMap<String, usize> {
        self.lock().lost.clone()
    }

    /// Begins the record of a subscriber; its number is for the other functions.
    pub fn watch(&self, order: Uuid) -> usize {
        let watched = &mut self.lock().clients.watched;
        watched.push(Watched {
            order,
            ..Watched::default()
        });
        watched.len() - 1
    }

    /// Notes that a subscriber connected (again).
    pub fn connect(&self, watch: usize) {
        let mut pages = self.lock();
        if let Some(watched) = pages.clients.watched.get_mut(watch) {
            watched.connections.push(Vec::new());
            let order = watched.order;
            if let Some(diary) = &mut pages.diary {
                diary.note(json!({ "subscriber": watch, "connected": order }));
            }
        }
    }

    /// Notes a frame.
    pub fn receive(&self, watch: usize, frame: Frame) {
        let mut pages = self.lock();
        pages.arrivals.push(Instant::now());
        if let Some(diary) = &mut pages.diary {
            diary.note(json!({ "subscriber": watch, "frame": format!("{frame:?}") }));
        }
        if let Some(watched) = pages.clients.watched.get_mut(watch)
            && let Some(frames) = watched.connections.last_mut()
        {
            frames.push(frame);
        }
    }

    /// Notes an error that a subscription answered.
    pub fn fail(&self, watch: usize, error: String) {
        if let Some(watched) = self.lock().clients.watched.get_mut(watch) {
            watched.errors.push(error);
        }
    }

    /// The newest version that a subscriber of an order was told.
    pub fn last_version(&self, order: Uuid) -> Option<u32> {
        let pages = self.lock();
        let watched = pages
            .clients
            .watched
            .iter()
            .find(|watched| watched.order == order);
        watched.and_then(Watched::last_version)
    }

    /// Everything so far.
    pub fn clients(&self) -> Clients {
        self.lock().clients.clone()
    }

    /// What the subscribers received so far.
    pub fn watched(&self) -> Vec<Watched> {
        self.lock().clients.watched.clone()
    }

    /// When frames came, since a moment.
    pub fn arrivals_since(&self, moment: Instant) -> Vec<Instant> {
        self.lock()
            .arrivals
            .iter()
            .filter(|at| **at >= moment)
            .copied()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // A panic elsewhere leaves a list that is still a list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same answer for every request: each has a trace id of its own.
fn without_trace(answer: String) -> String {
    const NAME: &str = ",\"traceId\":\"";
    let Some((before, rest)) = answer.split_once(NAME) else {
        return answer;
    };
    let (_, after) = rest.split_once('"').unwrap_or_default();
    format!("{before}{after}")
}

/// Whether a server that is away is a reason for an error: it may be tried again, or a COMMIT was never answered.
fn is_explained(error: &Value) -> bool {
    let extensions = &error["extensions"];
    extensions["retryable"] == true || extensions["code"] == "OUTCOME_UNKNOWN"
}

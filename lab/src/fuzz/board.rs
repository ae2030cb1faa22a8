//! What was played, what was heard, and what was found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::case::{Case, Kind};
use super::judge::Verdict;

/// Findings that are kept, at most; all are counted.
const KEPT: usize = 100;
/// Characters of what was sent that are kept with a finding.
const SENT: usize = 20_000;

/// Something that must not be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The case, if it was one that showed it.
    pub case: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What was sent.
    pub sent: String,
}

/// How often something was heard, and where first.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Heard {
    /// How often.
    pub times: usize,
    /// The first case.
    pub first: u64,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    /// Cases by how they talk.
    pub played: BTreeMap<Kind, usize>,
    /// Statuses and codes.
    pub heard: BTreeMap<String, Heard>,
    /// What must not be.
    pub findings: Vec<Finding>,
    /// How much of that there is.
    pub found: usize,
}

/// Where all players write. A copy is the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Pages>>);

impl Board {
    /// Notes a case that was played.
    pub fn note(&self, case: &Case, verdict: Verdict) {
        let mut pages = self.lock();
        *pages.played.entry(case.kind).or_default() += 1;
        for word in verdict.heard {
            let heard = pages.heard.entry(word).or_insert(Heard {
                times: 0,
                first: case.number,
            });
            heard.times += 1;
        }
        for what in verdict.findings {
            pages.find(Some(case.number), what, || case.to_string());
        }
    }

    /// Notes something that no case in particular showed.
    pub fn find(&self, what: impl Into<String>) {
        self.lock().find(None, what.into(), String::new);
    }

    /// How many cases were played, and how much was found.
    pub fn counts(&self) -> (usize, usize) {
        let pages = self.lock();
        (pages.played.values().sum(), pages.found)
    }

    /// Everything so far.
    pub fn read(&self) -> Pages {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // A panic elsewhere leaves pages that are still pages.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn find(&mut self, case: Option<u64>, what: String, sent: impl FnOnce() -> String) {
        self.found += 1;
        if self.findings.len() < KEPT {
            let sent = sent().chars().take(SENT).collect();
            self.findings.push(Finding { case, what, sent });
        }
    }
}

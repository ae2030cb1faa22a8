//! What the clients did and saw, for the check.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

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
}

impl Journal {
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
        *pages.lost.entry(instead).or_default() += 1;
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
        if let Some(watched) = self.lock().clients.watched.get_mut(watch) {
            watched.connections.push(Vec::new());
        }
    }

    /// Notes a frame.
    pub fn receive(&self, watch: usize, frame: Frame) {
        let mut pages = self.lock();
        pages.arrivals.push(Instant::now());
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

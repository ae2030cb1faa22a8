//! What the clients of one shop share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::{Catalogue, Figures, Progress};
use crate::check::Violation;
use crate::client::{Journal, Shop, Watch};

/// What scenarios share. A copy shares it too.
#[derive(Debug, Clone)]
pub struct Run {
    /// The clients' way in.
    pub shop: Shop,
    /// What the clients did and saw.
    pub journal: Journal,
    /// What can be bought.
    pub catalogue: Catalogue,
    /// What is measured.
    pub figures: Figures,
    /// The line on the screen.
    pub progress: Progress,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
    watches: Vec<Watch>,
    orders: Vec<Uuid>,
}

impl Run {
    /// Opens the shop of a client: the catalogue is made, nothing is found yet.
    ///
    /// # Errors
    /// If the shop refuses.
    pub async fn open(shop: Shop, journal: Journal, progress: &Progress) -> anyhow::Result<Self> {
        let catalogue = Catalogue::create(&shop).await?;
        Ok(Self {
            shop,
            journal,
            catalogue,
            figures: Figures::default(),
            progress: progress.clone(),
            found: Arc::default(),
        })
    }

    /// Notes a broken promise that a client met.
    pub fn violate(&self, violation: Violation) {
        self.found().violations.push(violation);
    }

    /// The broken promises so far; none are left behind.
    pub fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut self.found().violations)
    }

    /// Keeps a subscription open until the check.
    pub fn watch_on(&self, watch: Watch) {
        self.found().watches.push(watch);
    }

    /// Closes the subscriptions that were kept open.
    pub fn close_watches(&self) {
        let watches = std::mem::take(&mut self.found().watches);
        drop(watches);
    }

    /// One of the orders, whichever.
    pub fn any_order(&self) -> Option<Uuid> {
        fastrand::choice(&self.found().orders).copied()
    }

    /// Remembers an order.
    pub fn keep(&self, order: Uuid) {
        self.found().orders.push(order);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // A panic elsewhere leaves lists that are still lists.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

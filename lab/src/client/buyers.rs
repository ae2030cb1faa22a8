//! Who placed which order, for whoever acts as its buyer later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use uuid::Uuid;

/// The buyers of orders. A copy is the same list.
#[derive(Debug, Clone, Default)]
pub struct Buyers(Arc<Mutex<HashMap<Uuid, Uuid>>>);

impl Buyers {
    /// Notes whose order it is.
    pub fn note(&self, order: Uuid, customer: Uuid) {
        self.lock().insert(order, customer);
    }

    /// Whose order it is.
    ///
    /// # Errors
    /// If it was not placed here.
    pub fn of(&self, order: Uuid) -> anyhow::Result<Uuid> {
        let found = self.lock().get(&order).copied();
        found.with_context(|| format!("nobody here placed order_{order}"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Uuid>> {
        // A panic elsewhere leaves a list that is still a list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

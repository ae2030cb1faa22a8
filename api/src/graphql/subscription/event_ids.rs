//! The ids of server-sent events: what a browser had last when it came back, and what the event of each item is called.

use std::sync::{Arc, Mutex, PoisonError};

/// Those of one stream. In the data of a request whose transport has such ids; clones share them.
#[derive(Debug, Clone, Default)]
pub struct EventIds(Arc<Mutex<Ids>>);

#[derive(Debug, Default)]
struct Ids {
    last: Option<String>,
    told: Option<String>,
}

impl EventIds {
    /// Those of a client that had this one last, if any.
    pub fn after(last: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(Ids { last, told: None })))
    }

    /// What the client had last, for the stream that begins.
    pub fn last(&self) -> Option<String> {
        self.lock().last.clone()
    }

    /// Names the item that is told now.
    pub fn tell(&self, cursor: &str) {
        self.lock().told = Some(cursor.to_owned());
    }

    /// The name of the item that was just told, if it has one.
    pub fn take(&self) -> Option<String> {
        self.lock().told.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A bounded number of things that are there at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there may be, and how many there are. Clones share the count.
#[derive(Debug, Clone)]
pub struct Places {
    most: usize,
    taken: Arc<AtomicUsize>,
}

/// One of them; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Places {
    /// Places for so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// A place, unless all are taken.
    pub fn take(&self) -> Option<Place> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.most).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_there_may_be() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.clone().take());
        assert!(first.is_some() && second.is_some());
        assert!(places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
    }
}

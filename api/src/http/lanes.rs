//! How many operations run at once: queries in one lane and mutations in another, so that neither waits for the other.
//!
//! Who finds a lane full waits a moment and is then refused. So what is accepted stays quick however much is asked, and who is
//! refused knows at once. Subscriptions run in no lane: they mostly wait, and have bounds of their own.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::places::Places;

/// How long an operation may wait for a lane.
const PATIENCE: Duration = Duration::from_millis(20);

/// The lanes. Clones share them.
#[derive(Debug, Clone)]
pub struct Lanes {
    queries: Lane,
    mutations: Lane,
}

/// A lane: who is in it, and who waits for it.
#[derive(Debug, Clone)]
struct Lane {
    free: Arc<Semaphore>,
    waiting: Places,
}

/// A place in a lane; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    /// Two lanes: for so many queries, and a quarter as many mutations, each of which waits for a connection to MySQL and holds it. More
    /// of them at once would only time out together.
    pub fn new(at_once: usize) -> Self {
        Self {
            queries: Lane::new(at_once),
            mutations: Lane::new(at_once.div_ceil(4)),
        }
    }

    /// A place in the lane of an operation; `None` if it is full and stays so.
    pub async fn enter(&self, kind: Option<OperationType>) -> Option<Slot> {
        let lane = match kind {
            Some(OperationType::Mutation) => &self.mutations,
            _ => &self.queries,
        };
        lane.enter().await
    }
}

impl Lane {
    fn new(at_once: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once)),
            waiting: Places::new(at_once),
        }
    }

    async fn enter(&self) -> Option<Slot> {
        let free = Arc::clone(&self.free);
        let permit = if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            permit
        } else {
            let _waiting = self.waiting.take()?;
            timeout(PATIENCE, free.acquire_owned()).await.ok()?.ok()?
        };
        Some(Slot { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const QUERY: Option<OperationType> = Some(OperationType::Query);
    const MUTATION: Option<OperationType> = Some(OperationType::Mutation);

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_lets_in_who_waits_a_moment_and_the_other_one_is_free() {
        let lanes = Lanes::new(2);
        let first = lanes.enter(QUERY).await.expect("a place");
        let _second = lanes.enter(None).await.expect("a place");
        let begun = Instant::now();
        assert!(lanes.enter(QUERY).await.is_none());
        assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(1));
        assert!(lanes.enter(MUTATION).await.is_some());
        let waiting = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.enter(QUERY).await.is_some() }
        });
        tokio::time::sleep(PATIENCE / 2).await;
        drop(first);
        assert!(waiting.await.expect("no panic"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_wait_as_many_do_as_there_are_places_and_the_others_know_at_once() {
        let lanes = Lanes::new(3);
        let _inside = [
            lanes.enter(QUERY).await.expect("a place"),
            lanes.enter(QUERY).await.expect("a place"),
            lanes.enter(QUERY).await.expect("a place"),
        ];
        let begun = Instant::now();
        let waits = (0..100).map(|_| async {
            assert!(lanes.enter(QUERY).await.is_none());
            begun.elapsed()
        });
        let waits = futures::future::join_all(waits).await;
        let at_once = waits.iter().filter(|wait| wait.is_zero()).count();
        assert_eq!(at_once, 97);
    }
}

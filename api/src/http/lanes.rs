//! How many operations run at once: queries in one lane and mutations in another, so that neither waits for the other.
//!
//! Who finds a lane full waits a moment and is then refused. So what is accepted stays quick however much is asked, and who is
//! refused knows at once. Subscriptions run in no lane: they mostly wait, and have bounds of their own.
//!
//! A query that waits for a version leaves its lane meanwhile. It is in the lane or among those that are away, as long as it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::places::{Place, Places};
use crate::graphql::error::ApiError;

/// How long an operation may wait for a lane.
const PATIENCE: Duration = Duration::from_millis(20);
/// So many may be away for each that may be in a lane. What else their documents ask goes on without them, so they are bounded too.
const AWAY: usize = 4;

/// The lanes. Clones share them.
#[derive(Debug, Clone)]
pub struct Lanes {
    queries: Lane,
    mutations: Lane,
}

/// A lane: who is in it, who waits for it, and who has left it for a while.
#[derive(Debug, Clone)]
struct Lane {
    free: Arc<Semaphore>,
    waiting: Places,
    away: Places,
}

/// An operation's place in a lane; given back when the last of its clones, which share it, is dropped.
#[derive(Debug, Clone)]
pub struct Slot(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    lane: Lane,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    held: Held,
    /// How many of the operation's fields wait.
    waits: usize,
}

/// What an operation has of its lane; given back when dropped.
#[derive(Debug)]
enum Held {
    Inside(#[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit),
    Away(#[expect(dead_code, reason = "it is there to be dropped")] Place),
}

/// A field that waits. When it is dropped the field waits no more, and the operation stays away.
#[derive(Debug)]
pub struct Wait(Slot);

impl Lanes {
    /// Two lanes: for so many queries, and an eighth as many mutations, each of which waits for a connection to MySQL and holds it. More
    /// of them at once would only time out together.
    pub fn new(at_once: usize) -> Self {
        Self {
            queries: Lane::new(at_once),
            mutations: Lane::new(at_once.div_ceil(8)),
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
            away: Places::new(at_once.saturating_mul(AWAY)),
        }
    }

    async fn enter(&self) -> Option<Slot> {
        let state = State {
            held: Held::Inside(self.permit().await?),
            waits: 0,
        };
        Some(Slot(Arc::new(Seat {
            lane: self.clone(),
            state: Mutex::new(state),
        })))
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let free = Arc::clone(&self.free);
        if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = self.waiting.take()?;
        timeout(PATIENCE, free.acquire_owned()).await.ok()?.ok()
    }
}

impl Slot {
    /// Leaves the lane to others while a field waits; `None` if as many are away as may be, and then the field may not wait.
    pub fn leave(&self) -> Option<Wait> {
        let mut state = self.state();
        if matches!(state.held, Held::Inside(_)) {
            state.held = Held::Away(self.0.lane.away.take()?);
        }
        state.waits += 1;
        Some(Wait(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operation is away though none of its fields waits.
    fn should_enter(state: &State) -> bool {
        state.waits == 0 && matches!(state.held, Held::Away(_))
    }
}

impl Wait {
    /// Goes on in the lane; while another field of the operation waits it stays away, and the last one enters.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] if the lane is full and stays so.
    pub async fn over(self) -> Result<(), ApiError> {
        let slot = self.0.clone();
        drop(self);
        if !Slot::should_enter(&slot.state()) {
            return Ok(());
        }
        let permit = slot.0.lane.permit().await;
        let permit = permit.ok_or(ApiError::Overloaded)?;
        let mut state = slot.state();
        // Another field may have begun to wait meanwhile, or have entered.
        if Slot::should_enter(&state) {
            state.held = Held::Inside(permit);
        }
        Ok(())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.state().waits -= 1;
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

    #[tokio::test(start_paused = true)]
    async fn who_waits_leaves_the_lane_to_others_and_comes_back_when_all_its_fields_have_what_they_wait_for()
     {
        let lanes = Lanes::new(1);
        let slot = lanes.enter(QUERY).await.expect("a place");
        assert!(lanes.enter(QUERY).await.is_none());
        let first = slot.leave().expect("it may wait");
        let second = slot.leave().expect("another field of it may too");
        drop(lanes.enter(QUERY).await.expect("the lane is free"));
        first.over().await.expect("the other one waits");
        drop(lanes.enter(QUERY).await.expect("it is still away"));
        second.over().await.expect("there is a place");
        assert!(lanes.enter(QUERY).await.is_none(), "it has come back");

        let third = slot.leave().expect("it may wait again");
        let other = lanes.enter(QUERY).await.expect("a place");
        let full = third.over().await;
        assert!(matches!(full, Err(ApiError::Overloaded)), "{full:?}");
        drop(other);
        drop(slot.leave().expect("it may wait again"));
        drop(
            lanes
                .enter(QUERY)
                .await
                .expect("it has given up and is away"),
        );
    }

    #[tokio::test]
    async fn as_many_are_away_as_may_be_and_whoever_ends_is_not() {
        let lanes = Lanes::new(2);
        let mut away = Vec::new();
        for _ in 0..2 * AWAY {
            let slot = lanes.enter(QUERY).await.expect("the lane is free");
            let wait = slot.leave().expect("it may wait");
            away.push((slot, wait));
        }
        let one_more = lanes.enter(QUERY).await.expect("the lane is free");
        assert!(one_more.leave().is_none());
        assert!(away[0].0.leave().is_some(), "it is away already");
        away.clear();
        assert!(one_more.leave().is_some());
    }
}

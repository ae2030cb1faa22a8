//! How many operations run at once: queries in one lane and mutations in another, so that neither waits for the other.
//!
//! Who finds a lane full waits a moment and is then refused. So what is accepted stays quick however much is asked, and who is
//! refused knows at once. Subscriptions run in no lane: they mostly wait, and have bounds of their own.
//!
//! A crowd that comes at once is served one after the other. But where a lane stays full, waiting serves nobody any sooner, and all
//! who wait do so in vain or for long; then they wait hardly at all. That is controlled delay: of `CoDel` (RFC 8289) the difference
//! between a queue that empties and one that stands, and of Facebook's "Fail at Scale" (ACM Queue 13.8) that a server's queue
//! needs two times only. That a lane stays full is seen by who finds it so, again and again.
//!
//! A query that waits for a version leaves its lane meanwhile. It is in the lane or among those that are away, as long as it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::places::{Place, Places};
use crate::graphql::error::ApiError;

/// How long an operation may wait for a lane. Half of the 50 ms after which who is refused should know it: the rest is for all else.
const PATIENCE: Duration = Duration::from_millis(25);
/// The same for a lane that has been full for a [`MOMENT`].
const HARDLY: Duration = Duration::from_millis(5);
/// How long an operation may wait to come back into its lane: it has its answer almost.
const COMING_BACK: Duration = Duration::from_millis(100);
/// How long a lane may be full before it counts as one that stays so: the interval of `CoDel`, a round trip for most.
const MOMENT: Duration = Duration::from_millis(100);
/// A lane stays full as long as it is found so at least this often. Longer than anybody waits in it.
const AGAIN_WITHIN: Duration = MOMENT.saturating_mul(2);
/// So many may wait for each that may be in a lane: a bound on memory, since those who wait leave soon.
const WAITING: usize = 16;
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
    full: Arc<Full>,
    waiting: Places,
    away: Places,
}

/// The time in which a lane was found full again and again, if it ever was.
#[derive(Debug, Default)]
struct Full(Mutex<Option<Stretch>>);

#[derive(Debug, Clone, Copy)]
struct Stretch {
    since: Instant,
    last: Instant,
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
    /// Two lanes, for so many at once.
    pub fn new(queries: usize, mutations: usize) -> Self {
        Self {
            queries: Lane::new(queries),
            mutations: Lane::new(mutations),
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
            full: Arc::default(),
            waiting: Places::new(at_once.saturating_mul(WAITING)),
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

    /// One of its places, for who comes to it.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(permit);
        }
        let patience = if self.full.found() < MOMENT {
            PATIENCE
        } else {
            HARDLY
        };
        let permit = self.permit_within(patience).await;
        if permit.is_none() {
            self.full.found();
        }
        permit
    }

    async fn permit_within(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.take()?;
        let permit = Arc::clone(&self.free).acquire_owned();
        timeout(patience, permit).await.ok()?.ok()
    }
}

impl Full {
    /// Somebody finds the lane full, or has waited for it in vain. For how long that has been so.
    fn found(&self) -> Duration {
        let now = Instant::now();
        let mut stretch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = stretch
            .filter(|it| now.saturating_duration_since(it.last) <= AGAIN_WITHIN)
            .map_or(now, |it| it.since);
        *stretch = Some(Stretch { since, last: now });
        now.saturating_duration_since(since)
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
        let permit = slot.0.lane.permit_within(COMING_BACK).await;
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
    use super::*;

    const QUERY: Option<OperationType> = Some(OperationType::Query);
    const MUTATION: Option<OperationType> = Some(OperationType::Mutation);

    /// Two lanes of so many places each.
    fn lanes(at_once: usize) -> Lanes {
        Lanes::new(at_once, at_once)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_lets_in_who_waits_a_moment_and_the_other_one_is_free() {
        let lanes = lanes(2);
        let first = lanes.enter(QUERY).await.expect("a place");
        let _second = lanes.enter(None).await.expect("a place");
        let waiting = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.enter(QUERY).await.is_some() }
        });
        tokio::time::sleep(PATIENCE / 2).await;
        drop(first);
        assert!(waiting.await.expect("no panic"));
        assert!(lanes.enter(MUTATION).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_served_one_after_the_other() {
        let lanes = lanes(8);
        let work = PATIENCE / 16;
        let crowd = (0..64).map(|_| async {
            let slot = lanes.enter(QUERY).await;
            tokio::time::sleep(work).await;
            slot.is_some()
        });
        let served = futures::future::join_all(crowd).await;
        assert!(served.into_iter().all(|served| served));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_lane_stays_full_who_is_refused_knows_it_soon_until_it_is_found_full_no_more() {
        let lanes = lanes(8);
        let mut inside = Vec::new();
        for _ in 0..8 {
            inside.push(lanes.enter(QUERY).await.expect("a place"));
        }
        let refused_after = async |patience: Duration| {
            let begun = Instant::now();
            assert!(lanes.enter(QUERY).await.is_none());
            let more = begun.elapsed().checked_sub(patience);
            more.is_some_and(|more| more <= Duration::from_millis(1)) // as exact as the clock
        };
        let full_since = Instant::now();
        while full_since.elapsed() < MOMENT {
            assert!(refused_after(PATIENCE).await);
        }
        for _ in 0..10 {
            assert!(refused_after(HARDLY).await);
        }
        // Who is served now and then is no sign of calm.
        inside.pop();
        inside.push(lanes.enter(QUERY).await.expect("a place"));
        assert!(refused_after(HARDLY).await);
        // That nobody finds it full is one.
        tokio::time::sleep(AGAIN_WITHIN + Duration::from_millis(2)).await;
        let full_again_since = Instant::now();
        while full_again_since.elapsed() < MOMENT {
            assert!(refused_after(PATIENCE).await);
        }
        assert!(refused_after(HARDLY).await);
    }

    #[tokio::test(start_paused = true)]
    async fn of_very_many_who_wait_some_know_at_once() {
        let lanes = lanes(1);
        let _inside = lanes.enter(QUERY).await.expect("a place");
        let begun = Instant::now();
        let waits = (0..100).map(|_| async {
            assert!(lanes.enter(QUERY).await.is_none());
            begun.elapsed()
        });
        let waits = futures::future::join_all(waits).await;
        let at_once = waits.iter().filter(|wait| wait.is_zero()).count();
        assert_eq!(at_once, 100 - WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_leaves_the_lane_to_others_and_comes_back_when_all_its_fields_have_what_they_wait_for()
     {
        let lanes = lanes(1);
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
        let lanes = lanes(2);
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

//! How many operations run at once: queries in one lane and mutations in another, so that neither waits for the other.
//!
//! Who finds a lane full waits a moment and is then refused. So what is accepted stays quick however much is asked, and who is
//! refused knows at once. Subscriptions run in no lane: they mostly wait, and have bounds of their own.
//!
//! A crowd that comes at once is served one after the other. But where many are refused though they wait, waiting serves nobody any
//! sooner and costs what others could be served with; then nobody waits. That is controlled delay: of `CoDel` (RFC 8289) the difference
//! between a queue that empties and one that stands, and of Facebook's "Fail at Scale" (ACM Queue 13.8) that a server's queue
//! needs two times only, of which the shorter one is none here. Meanwhile mutations have fewer places: where all are always taken,
//! more of them serve nobody sooner. Who comes when both lanes are full then is turned away before it is known what it asks.
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
/// How long an operation may wait to come back into its lane: it has its answer almost.
const COMING_BACK: Duration = Duration::from_millis(100);
/// How long it is counted how many are refused: the interval of `CoDel`, a round trip for most. If they were many, nobody waits in the
/// next one.
const INTERVAL: Duration = Duration::from_millis(100);
/// Of those who come so many are many, beside those whom a lane refuses that is asked just what it can do and lets nobody wait. So who
/// comes after a storm may wait again.
const MANY: f64 = 2.0;
/// What part of those who come is many, at least, and at most: who is asked three times what it can do refuses two of three.
const MANY_AT_LEAST: f64 = 0.25;
const MANY_AT_MOST: f64 = 0.6;
/// While many queries are refused there are so many of them for each mutation. About as many mutations are served as at the peak, each
/// sooner than with half as many places as queries.
const QUERIES_PER_MUTATION: usize = 3;
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
    places: usize,
    free: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    waiting: Places,
    away: Places,
}

/// How many of those who come to a lane are refused.
#[derive(Debug)]
struct Refusals {
    /// What part of those who come is many.
    many: f64,
    interval: Mutex<Interval>,
}

#[derive(Debug)]
struct Interval {
    since: Instant,
    came: u32,
    refused: u32,
    /// Whether in the interval before it many were refused.
    after_many: bool,
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
        match kind {
            Some(OperationType::Mutation) => {
                let empty = self.empty_places().unwrap_or(0);
                self.mutations.enter(empty).await
            }
            _ => self.queries.enter(0).await,
        }
    }

    /// Whether there is no place for whoever comes, whatever it asks, and none to wait for. If so it counts as one whom the lane of
    /// queries refuses.
    pub fn turn_away(&self) -> bool {
        let Some(empty) = self.empty_places() else {
            return false;
        };
        let is_full = !self.queries.has_room(0)
            && !self.mutations.has_room(empty)
            && (empty > 0 || self.mutations.refusals.are_many());
        if is_full {
            self.queries.refusals.one_comes();
            self.queries.refusals.one_is_refused();
        }
        is_full
    }

    /// How many places of mutations stay empty while many queries are refused; `None` while they are not.
    fn empty_places(&self) -> Option<usize> {
        let at_once = self.queries.places.div_ceil(QUERIES_PER_MUTATION);
        let are_many = self.queries.refusals.are_many();
        are_many.then(|| self.mutations.places.saturating_sub(at_once))
    }
}

impl Lane {
    fn new(places: usize) -> Self {
        Self {
            places,
            free: Arc::new(Semaphore::new(places)),
            refusals: Arc::new(Refusals::of(places)),
            waiting: Places::new(places.saturating_mul(WAITING)),
            away: Places::new(places.saturating_mul(AWAY)),
        }
    }

    /// A place for who comes, if more than so many are empty; nobody waits for one that has to stay so.
    async fn enter(&self, empty: usize) -> Option<Slot> {
        let state = State {
            held: Held::Inside(self.permit(empty).await?),
            waits: 0,
        };
        Some(Slot(Arc::new(Seat {
            lane: self.clone(),
            state: Mutex::new(state),
        })))
    }

    fn has_room(&self, empty: usize) -> bool {
        self.free.available_permits() > empty
    }

    async fn permit(&self, empty: usize) -> Option<OwnedSemaphorePermit> {
        let may_wait = self.refusals.one_comes() && empty == 0;
        let mut permit = None;
        if self.has_room(empty) {
            permit = Arc::clone(&self.free).try_acquire_owned().ok();
        }
        if permit.is_none() && may_wait {
            permit = self.permit_within(PATIENCE).await;
        }
        if permit.is_none() {
            self.refusals.one_is_refused();
        }
        permit
    }

    async fn permit_within(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.take()?;
        let permit = Arc::clone(&self.free).acquire_owned();
        timeout(patience, permit).await.ok()?.ok()
    }
}

impl Refusals {
    /// Those of a lane of so many places.
    fn of(places: usize) -> Self {
        Self {
            many: (MANY * refused_at_capacity(places)).clamp(MANY_AT_LEAST, MANY_AT_MOST),
            interval: Mutex::new(Interval::after(false)),
        }
    }

    /// Somebody comes to the lane; whether it may wait there: few were refused of late.
    fn one_comes(&self) -> bool {
        let mut interval = self.now();
        interval.came += 1;
        !interval.after_many
    }

    /// Whether they were many of late.
    fn are_many(&self) -> bool {
        self.now().after_many
    }

    /// Somebody is refused.
    fn one_is_refused(&self) {
        self.now().refused += 1;
    }

    /// The interval of the moment.
    fn now(&self) -> MutexGuard<'_, Interval> {
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let age = interval.since.elapsed();
        if age >= INTERVAL {
            // If it is that old, nobody came for a whole one.
            let many = age < 2 * INTERVAL && interval.refused(self.many);
            *interval = Interval::after(many);
        }
        interval
    }
}

impl Interval {
    fn after(after_many: bool) -> Self {
        Self {
            since: Instant::now(),
            came: 0,
            refused: 0,
            after_many,
        }
    }

    /// Whether such a part of those who came were refused.
    fn refused(&self, part: f64) -> bool {
        self.refused > 0 && f64::from(self.refused) >= part * f64::from(self.came)
    }
}

/// What part of those who come a lane of so many places refuses that is asked just what it can do and lets nobody wait: Erlang's
/// formula B.
fn refused_at_capacity(places: usize) -> f64 {
    // With more of them it is less than is ever asked for.
    let places = u32::try_from(places).unwrap_or(u32::MAX).min(1_000);
    let load = f64::from(places);
    (1..=places).fold(1.0, |refused, place| {
        load * refused / (f64::from(place) + load * refused)
    })
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
    async fn where_many_are_refused_nobody_waits_until_nobody_comes_for_a_while() {
        let lanes = lanes(1);
        let inside = lanes.enter(QUERY).await.expect("a place");
        let refused_after = async || {
            let begun = Instant::now();
            assert!(lanes.enter(QUERY).await.is_none());
            begun.elapsed()
        };
        let full_since = Instant::now();
        while full_since.elapsed() < INTERVAL {
            assert!(refused_after().await >= PATIENCE);
        }
        for _ in 0..100 {
            assert!(refused_after().await.is_zero());
            tokio::time::sleep(INTERVAL / 10).await;
        }
        assert!(lanes.enter(MUTATION).await.is_some(), "the other lane");
        tokio::time::sleep(2 * INTERVAL).await;
        assert!(refused_after().await >= PATIENCE);
        drop(inside);
        assert!(lanes.enter(QUERY).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_may_wait_if_fewer_than_one_of_four_were_refused_before() {
        let refusals = Refusals::of(64);
        assert!(refusals.one_comes());
        for (came, refused, may_wait) in [
            (100, 0, true),
            (100, 24, true),
            (100, 25, false),
            (100, 100, false),
            (100, 24, true),
            (1, 1, false),
            (1, 0, true),
        ] {
            for _ in 1..came {
                refusals.one_comes();
            }
            for _ in 0..refused {
                refusals.one_is_refused();
            }
            tokio::time::advance(INTERVAL).await;
            assert_eq!(refusals.one_comes(), may_wait, "{refused} of {came}");
        }
    }

    #[test]
    fn a_lane_that_is_asked_what_it_can_do_never_refuses_many_however_small_it_is() {
        for (places, at_capacity, many) in [
            (1, 0.5, 0.6),
            (2, 0.4, 0.6),
            (4, 0.311, 0.6),
            (8, 0.236, 0.472),
            (16, 0.175, 0.351),
            (32, 0.128, 0.256),
            (1_000, 0.025, 0.25),
            (Semaphore::MAX_PERMITS, 0.025, 0.25),
        ] {
            let refused = refused_at_capacity(places);
            assert!((refused - at_capacity).abs() < 0.002, "{places}: {refused}");
            let found = Refusals::of(places).many;
            assert!((found - many).abs() < 0.002, "{places}: {found}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_many_queries_are_refused_a_third_as_many_mutations_run() {
        let lanes = Lanes::new(9, 4);
        let mut queries = Vec::new();
        for _ in 0..9 {
            queries.push(lanes.enter(QUERY).await.expect("a place"));
        }
        tokio::time::sleep(INTERVAL).await;
        let storm = Instant::now();
        while storm.elapsed() < INTERVAL {
            assert!(lanes.enter(QUERY).await.is_none());
        }
        let mut mutations = Vec::new();
        for _ in 0..3 {
            mutations.push(lanes.enter(MUTATION).await.expect("a place"));
        }
        let begun = Instant::now();
        assert!(lanes.enter(MUTATION).await.is_none());
        assert!(begun.elapsed().is_zero(), "nobody waits for it");
        mutations.pop();
        assert!(lanes.enter(MUTATION).await.is_some());

        tokio::time::sleep(2 * INTERVAL).await;
        for _ in 0..2 {
            mutations.push(lanes.enter(MUTATION).await.expect("a place"));
        }
        assert!(lanes.enter(MUTATION).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_is_turned_away_unasked_where_nobody_may_wait_and_both_lanes_are_full() {
        let lanes = Lanes::new(6, 3);
        assert!(!lanes.turn_away(), "there is room");
        let mut inside = Vec::new();
        for kind in [QUERY; 6].into_iter().chain([MUTATION; 2]) {
            inside.push(lanes.enter(kind).await.expect("a place"));
        }
        assert!(!lanes.turn_away(), "who comes may wait");
        tokio::time::sleep(INTERVAL).await;
        let storm = Instant::now();
        while storm.elapsed() < INTERVAL {
            assert!(lanes.enter(QUERY).await.is_none());
        }
        let begun = Instant::now();
        assert!(lanes.turn_away());
        assert!(lanes.enter(MUTATION).await.is_none());
        assert!(lanes.enter(QUERY).await.is_none());
        assert!(begun.elapsed().is_zero(), "nobody waits");
        for _ in 0..100 {
            assert!(lanes.turn_away(), "who is turned away counts");
            tokio::time::sleep(INTERVAL / 10).await;
        }

        drop(inside.pop());
        assert!(!lanes.turn_away(), "there is room for a mutation");
        inside.push(lanes.enter(MUTATION).await.expect("a place"));
        assert!(lanes.turn_away());
        drop(inside.swap_remove(0));
        assert!(!lanes.turn_away(), "there is room for a query");
        inside.push(lanes.enter(QUERY).await.expect("a place"));
        assert!(lanes.turn_away());
        tokio::time::sleep(2 * INTERVAL).await;
        assert!(!lanes.turn_away(), "the storm is over");
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_wait_for_a_mutation_is_not_turned_away() {
        let lanes = Lanes::new(3, 1);
        let mut inside = Vec::new();
        for kind in [QUERY, QUERY, QUERY, MUTATION] {
            inside.push(lanes.enter(kind).await.expect("a place"));
        }
        let storm = async |kind| {
            let begun = Instant::now();
            while begun.elapsed() < INTERVAL {
                assert!(lanes.enter(kind).await.is_none());
            }
        };
        storm(QUERY).await;
        assert!(!lanes.turn_away());
        tokio::join!(storm(QUERY), storm(MUTATION));
        assert!(lanes.turn_away());
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

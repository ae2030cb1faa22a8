//! A bounded number of things that are there at the same time, and of sockets above all.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures::task::AtomicWaker;
use metrics::Gauge;
use shop_core::domain::UserId;
use shop_core::runtime::metrics::LIVE_PLACES;

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

/// A place that is counted as long as it is taken.
#[derive(Debug)]
struct Counted(&'static str);

impl Counted {
    fn new(state: &'static str) -> Self {
        gauge(state).increment(1);
        Self(state)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge(self.0).decrement(1);
    }
}

fn gauge(state: &'static str) -> Gauge {
    metrics::gauge!(LIVE_PLACES, "state" => state)
}

/// How many places of users there are for one of strangers.
const USERS_PER_STRANGER: usize = 4;

/// Places of sockets and streams: those of users, and fewer for whoever has not said yet who it is. So a crowd that never does takes
/// no place of a user's, and keeps out nobody who says it soon: the stranger who came first leaves for the one who comes. One user has
/// some of the places and not all. Clones share the places.
#[derive(Debug, Clone)]
pub struct Halls {
    users: Places,
    most_per_user: usize,
    each: Arc<Mutex<HashMap<UserId, usize>>>,
    lobby: Lobby,
}

/// A user's place; given back when dropped.
#[derive(Debug)]
pub struct Seated {
    _place: Place,
    _counted: Counted,
    user: UserId,
    each: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// A socket's place.
#[derive(Debug)]
pub enum Standing {
    /// A user's.
    User(#[expect(dead_code, reason = "it is there to be dropped")] Seated),
    /// That of somebody who may be a user. On the heap, since it is larger and most are users.
    Stranger(Box<Stranger>),
}

/// A place among strangers; given back when dropped.
#[derive(Debug)]
pub struct Stranger {
    number: u64,
    door: Arc<Door>,
    halls: Halls,
    _counted: Counted,
}

/// By which a stranger is shown out.
#[derive(Debug, Default)]
struct Door {
    is_open: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug, Clone)]
struct Lobby {
    most: usize,
    crowd: Arc<Mutex<Crowd>>,
}

/// Strangers in the order in which they came.
#[derive(Debug, Default)]
struct Crowd {
    next: u64,
    doors: BTreeMap<u64, Arc<Door>>,
}

impl Halls {
    /// Places for so many sockets of users, and so many of each user; 0 for no bound of theirs.
    pub fn new(users: usize, most_per_user: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        gauge("max").set(users as f64);
        Self {
            users: Places::new(users),
            most_per_user: match most_per_user {
                0 => usize::MAX,
                most => most,
            },
            each: Arc::default(),
            lobby: Lobby {
                most: users.div_ceil(USERS_PER_STRANGER),
                crowd: Arc::default(),
            },
        }
    }

    /// A user's place, unless all are taken, or all that are for one user.
    pub fn take(&self, user: UserId) -> Option<Standing> {
        let place = self.users.take()?;
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let count = each.entry(user).or_default();
        if *count >= self.most_per_user {
            return None;
        }
        *count += 1;
        drop(each);
        Some(Standing::User(Seated {
            _place: place,
            _counted: Counted::new("users"),
            user,
            each: Arc::clone(&self.each),
        }))
    }

    /// A place for who has not said yet who it is. Where as many are as may be, the first of them is shown out.
    pub fn take_as_stranger(&self) -> Standing {
        let door = Arc::<Door>::default();
        let mut crowd = self.lobby.crowd();
        if crowd.doors.len() >= self.lobby.most
            && let Some((_, first)) = crowd.doors.pop_first()
        {
            first.open();
        }
        let number = crowd.next;
        crowd.next += 1;
        crowd.doors.insert(number, Arc::clone(&door));
        drop(crowd);
        Standing::Stranger(Box::new(Stranger {
            number,
            door,
            halls: self.clone(),
            _counted: Counted::new("strangers"),
        }))
    }
}

impl Lobby {
    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Standing {
    /// It is known whose it is: a stranger's moves to the users'. Whether there is a place.
    pub fn identify(&mut self, user: UserId) -> bool {
        if let Self::Stranger(stranger) = self {
            let Some(user) = stranger.halls.take(user) else {
                return false;
            };
            *self = user;
        }
        true
    }

    /// Whether it is to leave for others, which happens to strangers alone. The task is woken when that changes.
    pub fn is_shown_out(&self, cx: &Context<'_>) -> bool {
        let Self::Stranger(stranger) = self else {
            return false;
        };
        stranger.door.waker.register(cx.waker());
        stranger.door.is_open.load(Ordering::Acquire)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = each.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                each.remove(&self.user);
            }
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.halls.lobby.crowd().doors.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::task::noop_waker_ref;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn is_shown_out(standing: &Standing) -> bool {
        standing.is_shown_out(&Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn strangers_take_no_place_of_users_until_they_are_known() {
        let halls = Halls::new(8, 0);
        let mut strangers = [halls.take_as_stranger(), halls.take_as_stranger()];
        let users: Vec<_> = (0..7).filter_map(|_| halls.take(user(1))).collect();
        assert_eq!(users.len(), 7, "as if no stranger was there");
        assert!(strangers[0].identify(user(1)) && strangers[0].identify(user(1)));
        assert!(!strangers[1].identify(user(1)), "there are eight users");
        assert!(halls.take(user(2)).is_none());
        drop(users);
        assert!(strangers[1].identify(user(1)));
        assert!(!strangers.iter().any(is_shown_out));
        drop(strangers);
        let users: Vec<_> = (0..9).filter_map(|_| halls.take(user(1))).collect();
        assert_eq!(users.len(), 8, "all are given back");
    }

    #[test]
    fn the_stranger_who_came_first_leaves_for_the_one_who_comes() {
        let halls = Halls::new(8, 0);
        let [mut first, second, third] = [(); 3].map(|()| halls.take_as_stranger());
        assert!(is_shown_out(&first), "there are two places");
        assert!(!is_shown_out(&second) && !is_shown_out(&third));
        assert!(first.identify(user(1)), "if it says so at the last moment");
        assert!(!is_shown_out(&first));
        drop(second);
        let fourth = halls.take_as_stranger();
        assert!(!is_shown_out(&third), "one had left by itself");
        drop(halls.take_as_stranger());
        assert!(is_shown_out(&third) && !is_shown_out(&fourth));
        let only = Halls::new(1, 0).take_as_stranger();
        assert!(!is_shown_out(&only));
    }

    #[test]
    fn a_user_has_some_of_the_places_and_gives_them_back() {
        let halls = Halls::new(8, 2);
        let mut known = halls.take_as_stranger();
        assert!(known.identify(user(1)));
        let second = halls.take(user(1)).expect("a second one");
        assert!(halls.take(user(1)).is_none());
        let mut third = halls.take_as_stranger();
        assert!(!third.identify(user(1)), "by whatever way");
        let others: Vec<_> = (2..9).filter_map(|other| halls.take(user(other))).collect();
        assert_eq!(others.len(), 6, "who was refused took no place");
        drop(second);
        assert!(third.identify(user(1)));
        drop((known, third, others));
        let each = halls.each.lock().expect("nobody panicked");
        assert!(each.is_empty(), "who has none is forgotten");
    }

    #[tokio::test]
    async fn who_is_shown_out_is_woken() {
        let halls = Halls::new(1, 0);
        let standing = halls.take_as_stranger();
        let leaving = std::future::poll_fn(|cx| {
            if standing.is_shown_out(cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let (_next, ()) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                halls.take_as_stranger()
            },
            leaving
        );
    }

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

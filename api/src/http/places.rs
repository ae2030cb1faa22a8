//! A bounded number of things that are there at the same time, and of sockets above all.

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

/// How many places of users there are for one of strangers.
const USERS_PER_STRANGER: usize = 4;

/// Places of sockets and streams: those of users, and fewer for whoever has not said yet who it is, so that a crowd that never
/// does takes no place of a user's. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Halls {
    users: Places,
    strangers: Places,
}

/// A socket's place.
#[derive(Debug)]
pub struct Standing {
    _place: Place,
    /// Where a stranger's belongs once it is known.
    users: Option<Places>,
}

impl Halls {
    /// Places for so many users.
    pub fn new(users: usize) -> Self {
        Self {
            users: Places::new(users),
            strangers: Places::new(users.div_ceil(USERS_PER_STRANGER)),
        }
    }

    /// A user's place, unless all are taken.
    pub fn take(&self) -> Option<Standing> {
        self.users.take().map(|place| Standing {
            _place: place,
            users: None,
        })
    }

    /// A place for who has not said yet who it is, unless all are taken.
    pub fn take_as_stranger(&self) -> Option<Standing> {
        self.strangers.take().map(|place| Standing {
            _place: place,
            users: Some(self.users.clone()),
        })
    }
}

impl Standing {
    /// It is known whose it is: a stranger's moves to the users'. Whether there is a place.
    pub fn identify(&mut self) -> bool {
        let Some(users) = &self.users else {
            return true;
        };
        let Some(place) = users.take() else {
            return false;
        };
        *self = Self {
            _place: place,
            users: None,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_take_no_place_of_users_until_they_are_known() {
        let halls = Halls::new(8);
        let mut strangers: Vec<_> = (0..2).filter_map(|_| halls.take_as_stranger()).collect();
        assert_eq!(strangers.len(), 2, "a quarter");
        assert!(halls.take_as_stranger().is_none());
        let users: Vec<_> = (0..7).filter_map(|_| halls.take()).collect();
        assert_eq!(users.len(), 7, "as if no stranger was there");
        assert!(strangers[0].identify() && strangers[0].identify());
        assert!(!strangers[1].identify(), "there are eight users");
        assert!(halls.take().is_none());
        let third = halls.take_as_stranger().expect("one has moved");
        drop(users);
        assert!(strangers[1].identify());
        drop((strangers, third));
        let users: Vec<_> = (0..9).filter_map(|_| halls.take()).collect();
        assert_eq!(users.len(), 8, "all are given back");
        assert!(Halls::new(1).take_as_stranger().is_some());
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

//! How much a client may cost per minute: by its address, and, once it has said who it is, as a user.
//!
//! An operation costs what [`cost`](crate::graphql::cost) says, at least 1, and so does the request that brings it: who has used
//! everything up is refused before the body is read.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shop_core::domain::UserId;
use shop_core::runtime::metrics::HTTP_REFUSED;
use shop_core::runtime::network::{Network, client_of};
use shop_core::runtime::settings::HttpSettings;

use super::client;
use super::connection::Connection;
use super::refusal;
use super::trace_of;
use crate::graphql::error::ApiError;

/// So many clients are remembered before those that have used nothing lately are forgotten.
const SWEEP_FROM: usize = 10_000;

/// Whose cost is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Everybody's at an address; of IPv6 at a network of 64 bits.
    Address(IpAddr),
    /// A user's.
    User(UserId),
}

/// What everybody has used. Clones share it, and each socket has one.
#[derive(Clone)]
pub struct Rates(Arc<Bounds>);

struct Bounds {
    addresses: Option<Bound>,
    users: Option<Bound>,
    trusted: Vec<Network>,
}

/// A bound on what each key may cost.
struct Bound {
    most: NonZeroU32,
    used: DefaultKeyedRateLimiter<Key>,
    sweep_at: AtomicUsize,
}

/// Whoever an operation comes from. Handlers leave it with the operation's request.
#[derive(Clone)]
pub struct Caller {
    rates: Rates,
    address: Key,
    user: Option<Key>,
}

impl Rates {
    /// Bounds by the settings.
    pub fn new(settings: &HttpSettings) -> Self {
        Self(Arc::new(Bounds {
            addresses: Bound::new(settings.rate_per_address),
            users: Bound::new(settings.rate_per_user),
            trusted: settings.trusted_proxies.clone(),
        }))
    }

    /// Whoever calls from an address.
    pub fn caller(&self, address: IpAddr) -> Caller {
        Caller {
            rates: self.clone(),
            address: Key::Address(client_of(address)),
            user: None,
        }
    }
}

impl Caller {
    /// The same as a user.
    #[must_use]
    pub fn as_user(&self, user: UserId) -> Self {
        Self {
            user: Some(Key::User(user)),
            ..self.clone()
        }
    }

    /// Uses up what an operation costs.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] if there is not as much left; of its address a user who is refused has used nothing up.
    pub fn charge(&self, cost: usize) -> Result<(), ApiError> {
        let Bounds {
            addresses, users, ..
        } = &*self.rates.0;
        let user = self.user.as_ref().zip(users.as_ref());
        let address = addresses.as_ref().map(|it| (&self.address, it));
        // The user first: one who has used everything up must not use up what others at its address have left.
        for (key, bound) in user.into_iter().chain(address) {
            bound.charge(key, cost)?;
        }
        Ok(())
    }
}

impl Bound {
    fn new(most: u32) -> Option<Self> {
        let most = NonZeroU32::new(most)?;
        Some(Self {
            most,
            used: RateLimiter::keyed(Quota::per_minute(most)),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        })
    }

    fn charge(&self, key: &Key, cost: usize) -> Result<(), ApiError> {
        // What costs more than there is in a minute has to wait until all of it is there; but for what the request itself cost.
        let most = self.most.get().saturating_sub(1);
        let cost = u32::try_from(cost).unwrap_or(most).min(most);
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        let charged = self.used.check_key_n(key, cost);
        self.sweep();
        match charged {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(ApiError::RateLimited { wait })
            }
            Err(_) => Err(ApiError::RateLimited {
                wait: Duration::from_mins(1),
            }),
        }
    }

    /// Forgets who has used nothing lately. There are only as many others as can be served within a minute.
    fn sweep(&self) {
        let sweep_at = self.sweep_at.load(Ordering::Relaxed);
        if self.used.len() < sweep_at {
            return;
        }
        self.used.retain_recent();
        let next = SWEEP_FROM.max(self.used.len().saturating_mul(2));
        self.sweep_at.store(next, Ordering::Relaxed);
    }
}

/// Lets a request pass with its [`Caller`], or refuses it.
pub async fn guard(State(rates): State<Rates>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    let peer = connection.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |it| it.0.peer().ip());
    let address = client::address(peer, request.headers(), &rates.0.trusted);
    let caller = rates.caller(address);
    if let Err(error) = caller.charge(1) {
        metrics::counter!(HTTP_REFUSED, "reason" => "rate").increment(1);
        return refusal::answer(error, &trace_of(request.headers()));
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use shop_core::runtime::Settings;

    use super::*;

    fn rates(per_address: u32, per_user: u32) -> Rates {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let mut http = settings.edge.http;
        http.rate_per_address = per_address;
        http.rate_per_user = per_user;
        Rates::new(&http)
    }

    fn caller(rates: &Rates, address: &str) -> Caller {
        rates.caller(address.parse().expect("an address"))
    }

    fn user(number: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn wait(refused: Result<(), ApiError>) -> Duration {
        match refused {
            Err(ApiError::RateLimited { wait }) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_has_used_everything_up_is_told_how_long_to_wait_and_others_are_not() {
        let rates = rates(601, 0);
        let one = caller(&rates, "10.0.0.1");
        for _ in 0..6 {
            one.charge(100).expect("600 are there");
        }
        let (some, all) = (wait(one.charge(100)), wait(one.charge(600)));
        // Ten come back each second; one was left.
        assert!(
            some > Duration::from_secs(9) && some <= Duration::from_secs(10),
            "{some:?}"
        );
        assert!(
            all > Duration::from_secs(59) && all <= Duration::from_mins(1),
            "{all:?}"
        );
        one.charge(0).expect("one was left");
        caller(&rates, "10.0.0.2").charge(600).expect("another one");
    }

    #[test]
    fn what_costs_more_than_a_minute_has_is_let_in_when_nothing_was_used() {
        let rates = rates(100, 0);
        let one = caller(&rates, "10.0.0.1");
        one.charge(1).expect("the request itself");
        one.charge(usize::MAX).expect("all the rest");
        assert!(wait(one.charge(1)) > Duration::ZERO);
    }

    #[test]
    fn a_network_of_64_bits_is_one_client_and_a_user_is_the_same_everywhere() {
        let rates = rates(100, 50);
        caller(&rates, "2001:db8::1").charge(99).expect("all");
        wait(caller(&rates, "2001:db8::ffff").charge(50));
        caller(&rates, "2001:db8:0:1::1")
            .charge(99)
            .expect("another one");
        caller(&rates, "10.0.0.1")
            .as_user(user(1))
            .charge(49)
            .expect("all");
        wait(caller(&rates, "10.0.0.2").as_user(user(1)).charge(49));
        caller(&rates, "10.0.0.2")
            .as_user(user(2))
            .charge(49)
            .expect("another one");
    }

    #[test]
    fn a_user_who_has_used_everything_up_leaves_others_at_its_address_what_is_there() {
        let rates = rates(600, 100);
        let (one, other) = (user(1), user(2));
        let at_home = caller(&rates, "10.0.0.1");
        at_home.as_user(one).charge(99).expect("all");
        for _ in 0..100 {
            wait(at_home.as_user(one).charge(99));
        }
        at_home.as_user(other).charge(99).expect("its own");
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let rates = rates(0, 0);
        for _ in 0..10 {
            caller(&rates, "10.0.0.1")
                .as_user(user(1))
                .charge(usize::MAX)
                .expect("no bound");
        }
    }

    #[test]
    fn who_has_used_nothing_lately_is_forgotten() {
        let bound = Bound::new(1_000_000_000).expect("a bound");
        for number in 0..5 * u32::try_from(SWEEP_FROM).expect("a small number") {
            let key = Key::Address(std::net::Ipv4Addr::from_bits(number).into());
            bound.charge(&key, 1).expect("a new one");
            assert!(bound.used.len() <= SWEEP_FROM);
        }
    }
}

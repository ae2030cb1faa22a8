//! How many connections there are: in all, and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use shop_core::runtime::network::{Network, client_of};
use shop_core::runtime::settings::HttpSettings;

use super::places::{Place, Places};

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Seats for connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Seats {
    all: Places,
    most_per_address: usize,
    counts: Counts,
    trusted: Arc<[Network]>,
}

/// A connection's seat; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    _place: Place,
    _counted: Option<Counted>,
}

/// One of an address.
#[derive(Debug)]
struct Counted {
    counts: Counts,
    address: IpAddr,
}

impl Seats {
    /// As many as the settings say.
    pub fn new(settings: &HttpSettings) -> Self {
        Self {
            all: Places::new(settings.connections),
            most_per_address: settings.connections_per_address,
            counts: Counts::default(),
            trusted: settings.trusted_proxies.as_slice().into(),
        }
    }

    /// A seat for a connection from an address; `None` if there is none. Loopback's addresses, and proxies, stand for many clients.
    pub fn take(&self, address: IpAddr) -> Option<Seat> {
        let place = self.all.take()?;
        let address = address.to_canonical();
        let stands_for_many =
            address.is_loopback() || self.trusted.iter().any(|proxy| proxy.contains(address));
        let counted = if stands_for_many {
            None
        } else {
            Some(self.count(client_of(address))?)
        };
        Some(Seat {
            _place: place,
            _counted: counted,
        })
    }

    fn count(&self, address: IpAddr) -> Option<Counted> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.most_per_address {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: Arc::clone(&self.counts),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shop_core::runtime::Settings;

    use super::*;

    fn seats(all: usize, per_address: usize) -> Seats {
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let mut http = settings.edge.http;
        http.connections = all;
        http.connections_per_address = per_address;
        http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        Seats::new(&http)
    }

    fn take(seats: &Seats, address: &str) -> Option<Seat> {
        seats.take(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_as_many_as_it_may_and_gives_them_back() {
        let seats = seats(100, 2);
        let taken: Vec<_> = ["1.2.3.4", "::ffff:1.2.3.4", "2001:db8::1", "2001:db8::2"]
            .into_iter()
            .map(|address| take(&seats, address).expect(address))
            .collect();
        for full in ["1.2.3.4", "2001:db8::3"] {
            assert!(take(&seats, full).is_none(), "{full}");
        }
        assert!(take(&seats, "1.2.3.5").is_some());
        drop(taken);
        assert!(take(&seats, "1.2.3.4").is_some());
        assert!(seats.counts.lock().expect("no panic").is_empty());
    }

    #[test]
    fn loopback_and_proxies_are_counted_in_all_alone() {
        let seats = seats(4, 1);
        let _taken: Vec<_> = ["127.0.0.1", "::1", "10.1.2.3", "10.1.2.3"]
            .into_iter()
            .map(|address| take(&seats, address).expect(address))
            .collect();
        assert!(take(&seats, "127.0.0.1").is_none(), "there are four in all");
    }

    #[test]
    fn who_is_refused_takes_no_place() {
        let seats = seats(2, 1);
        let _first = take(&seats, "1.2.3.4").expect("a seat");
        for _ in 0..10 {
            assert!(take(&seats, "1.2.3.4").is_none());
        }
        assert!(take(&seats, "1.2.3.5").is_some());
    }
}

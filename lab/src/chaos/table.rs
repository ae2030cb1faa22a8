//! The list of faults and controls: what the suite does, in one place.
//!
//! To add a fault: 1. its strike in `faults/`, 2. a line here. To add a control: 1. the guard in
//! `core/src/runtime/guard.rs`, 2. a line here with the fault that provokes it.

use std::time::Duration;

use futures::future::BoxFuture;

use super::faults::{
    members, network, poison, programs, races, records, servers, steps, thousand, time,
};
use super::scene::{Scene, Setting};

/// One injection, or a few that belong together: does it, undoes it, notes how often.
pub type Strike = for<'a> fn(&'a Scene) -> BoxFuture<'a, anyhow::Result<()>>;

/// A kind of trouble.
pub struct Fault {
    /// Its name, for people.
    pub name: &'static str,
    /// In which shop it happens.
    pub shop: Shop,
    /// How many strikes there are.
    pub strikes: u32,
    /// How often it is to be injected at least.
    pub at_least: u32,
    /// Between two strikes, half as long or half as long again by chance.
    pub pause: Duration,
    /// Whether it explains that an event is sent more than once.
    pub repeats: bool,
    /// What it does.
    pub strike: Strike,
    /// Whether it takes minutes: only with `LONG=1`, or by name.
    pub long: bool,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Fault {
    /// How many strikes a run makes.
    pub fn times(&self, long: bool) -> u32 {
        if long && self.strikes > 1 {
            self.strikes * 3
        } else {
            self.strikes
        }
    }
}

/// A shop that faults happen to, one after the other. Those of one kind share one, so that they need not start it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shop {
    /// Programs are killed and stopped; orders that nobody pays run out of time.
    Programs,
    /// Records, clocks and transactions misbehave; no program is touched.
    Records,
    /// Orders are fought over; the payment time is short.
    Races,
    /// Servers and lines fail: nothing else may happen at the same time.
    Servers,
}

impl Shop {
    /// Whether orders run out of payment time.
    pub const fn expires(self) -> bool {
        matches!(self, Self::Programs | Self::Races)
    }

    /// Whether servers are away too: then a program that comes back in time has nothing to work with.
    pub const fn servers_fail(self) -> bool {
        matches!(self, Self::Servers)
    }

    /// How it is set up: two copies of every program behind the API.
    pub fn setting(self) -> Setting {
        let (name, payment_timeout) = match self {
            Self::Programs => ("programs", "6s"),
            Self::Records => ("records", "15m"),
            Self::Races => ("races", "2s"),
            Self::Servers => ("servers", "15m"),
        };
        Setting {
            name,
            payment_timeout,
            copies: 2,
            settings: Setting::quick_to_give_up(),
        }
    }
}

/// A guard that is left out, and the trouble that must show it.
pub struct Control {
    /// The guard, as `GUARD_OFF` calls it.
    pub guard: &'static str,
    /// More settings for the programs.
    pub settings: &'static [(&'static str, &'static str)],
    /// What provokes it.
    pub strike: Strike,
    /// How many times.
    pub strikes: u32,
    /// Whether an event that is sent more than once is what shows it.
    pub repeats: bool,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.guard)
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

macro_rules! strike {
    ($function:path $(, $argument:expr)*) => {
        |scene| Box::pin($function(scene $(, $argument)*))
    };
}

use Shop::{Programs, Races, Records, Servers};

/// All faults, each alone; the last one is all of them at once.
#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    Fault { name: "kill -9 of a random program", shop: Programs, strikes: 60, at_least: 60, pause: ms(2_000), repeats: true, strike: strike!(programs::kill), long: false },
    Fault { name: "SIGSTOP of a random program", shop: Programs, strikes: 8, at_least: 8, pause: ms(500), repeats: true, strike: strike!(programs::pause), long: false },
    Fault { name: "killed before commit", shop: Programs, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(steps::die, &steps::BEFORE_COMMIT), long: false },
    Fault { name: "killed after commit", shop: Programs, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(steps::die, &steps::AFTER_COMMIT), long: false },
    Fault { name: "killed after produce, before mark", shop: Programs, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(steps::die, &steps::AFTER_PRODUCE), long: false },
    Fault { name: "killed after view, before status", shop: Programs, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(steps::die, &steps::AFTER_VIEW), long: false },
    Fault { name: "killed after effect, before offset", shop: Programs, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(steps::die, &steps::AFTER_EFFECT), long: false },
    Fault { name: "two relays, the leader killed", shop: Programs, strikes: 5, at_least: 5, pause: ms(1_500), repeats: true, strike: strike!(members::kill_leader), long: false },
    Fault { name: "two relays, the leader stopped", shop: Programs, strikes: 2, at_least: 2, pause: ms(1_000), repeats: true, strike: strike!(members::stop_leader), long: false },
    Fault { name: "consumers come and go", shop: Programs, strikes: 4, at_least: 4, pause: ms(1_000), repeats: true, strike: strike!(members::come_and_go), long: false },

    Fault { name: "two relays, undisturbed", shop: Records, strikes: 3, at_least: 3, pause: ms(1_000), repeats: false, strike: strike!(members::let_be), long: false },
    Fault { name: "records delivered three times", shop: Records, strikes: 2, at_least: 2, pause: ms(500), repeats: true, strike: strike!(records::three_times), long: false },
    Fault { name: "keys shuffled against each other", shop: Records, strikes: 2, at_least: 2, pause: ms(500), repeats: true, strike: strike!(records::shuffled), long: false },
    Fault { name: "old records again, inbox pruned", shop: Records, strikes: 2, at_least: 2, pause: ms(500), repeats: true, strike: strike!(records::old_again), long: false },
    Fault { name: "500 buyers, 100 units, kills", shop: Records, strikes: 1, at_least: 5, pause: ms(0), repeats: true, strike: strike!(races::many_buyers), long: false },
    Fault { name: "a slow first look of subscribers", shop: Records, strikes: 1, at_least: 1, pause: ms(0), repeats: false, strike: strike!(steps::slow_snapshot), long: false },
    Fault { name: "clocks an hour off", shop: Records, strikes: 1, at_least: 4, pause: ms(0), repeats: true, strike: strike!(time::clocks), long: false },
    Fault { name: "outbox row committed 30 s late", shop: Records, strikes: 1, at_least: 1, pause: ms(0), repeats: false, strike: strike!(time::late_commit, Duration::from_secs(30)), long: false },
    Fault { name: "poison of six kinds", shop: Records, strikes: 1, at_least: 6, pause: ms(0), repeats: true, strike: strike!(poison::records), long: false },
    Fault { name: "an order that can not be handled", shop: Records, strikes: 1, at_least: 2, pause: ms(0), repeats: true, strike: strike!(poison::parked_order), long: false },
    Fault { name: "one poisoned order among 1,000", shop: Records, strikes: 1, at_least: 1, pause: ms(0), repeats: true, strike: strike!(thousand::one_among), long: true },

    Fault { name: "pay, cancel and expiry at once", shop: Races, strikes: 3, at_least: 30, pause: ms(0), repeats: false, strike: strike!(races::pay_cancel_expiry), long: false },
    Fault { name: "parallel mutations on one order", shop: Races, strikes: 3, at_least: 30, pause: ms(0), repeats: false, strike: strike!(races::parallel_mutations), long: false },

    Fault { name: "broker killed", shop: Servers, strikes: 5, at_least: 5, pause: ms(1_000), repeats: true, strike: strike!(servers::kill, servers::KAFKA), long: false },
    Fault { name: "broker stopped and started", shop: Servers, strikes: 1, at_least: 1, pause: ms(500), repeats: true, strike: strike!(servers::restart, servers::KAFKA), long: false },
    Fault { name: "broker paused", shop: Servers, strikes: 2, at_least: 2, pause: ms(1_000), repeats: true, strike: strike!(servers::pause, servers::KAFKA), long: false },
    Fault { name: "MySQL killed", shop: Servers, strikes: 5, at_least: 5, pause: ms(1_000), repeats: true, strike: strike!(servers::kill, servers::MYSQL), long: false },
    Fault { name: "MySQL paused", shop: Servers, strikes: 2, at_least: 2, pause: ms(1_000), repeats: true, strike: strike!(servers::pause, servers::MYSQL), long: false },
    Fault { name: "FerretDB killed", shop: Servers, strikes: 5, at_least: 5, pause: ms(700), repeats: true, strike: strike!(servers::kill, servers::FERRETDB), long: false },
    Fault { name: "FerretDB paused", shop: Servers, strikes: 2, at_least: 2, pause: ms(700), repeats: true, strike: strike!(servers::pause, servers::FERRETDB), long: false },
    Fault { name: "PostgreSQL killed", shop: Servers, strikes: 5, at_least: 5, pause: ms(700), repeats: true, strike: strike!(servers::kill, servers::POSTGRES), long: false },
    Fault { name: "PostgreSQL paused", shop: Servers, strikes: 2, at_least: 2, pause: ms(700), repeats: true, strike: strike!(servers::pause, servers::POSTGRES), long: false },
    Fault { name: "connections cut", shop: Servers, strikes: 6, at_least: 6, pause: ms(500), repeats: true, strike: strike!(network::cut), long: false },
    Fault { name: "connections delayed", shop: Servers, strikes: 3, at_least: 3, pause: ms(300), repeats: true, strike: strike!(network::delay), long: false },
    Fault { name: "connections sliced", shop: Servers, strikes: 3, at_least: 3, pause: ms(300), repeats: true, strike: strike!(network::slice), long: false },
    Fault { name: "all of it at once", shop: Servers, strikes: 10, at_least: 10, pause: ms(700), repeats: true, strike: strike!(super::faults::mixed::two_at_once), long: false },
];

/// What may happen at once in the last fault.
pub const MIXED: &[Strike] = &[
    strike!(programs::kill),
    strike!(programs::kill),
    strike!(programs::pause),
    strike!(members::come_and_go),
    strike!(network::cut),
    strike!(network::delay),
    strike!(network::slice),
    strike!(records::three_times),
    strike!(servers::kill, servers::MYSQL),
    strike!(servers::kill, servers::FERRETDB),
    strike!(servers::pause, servers::KAFKA),
    strike!(servers::pause, servers::MYSQL),
];

/// All controls.
#[rustfmt::skip]
pub const CONTROLS: &[Control] = &[
    Control { guard: "stock-row-per-order", settings: &[], strike: strike!(records::old_again), strikes: 2, repeats: false },
    Control { guard: "version-guard", settings: &[], strike: strike!(records::old_again), strikes: 2, repeats: false },
    Control { guard: "row-lock", settings: &[], strike: strike!(races::parallel_mutations), strikes: 2, repeats: false },
    Control { guard: "parking-order", settings: &[], strike: strike!(poison::parked_order), strikes: 1, repeats: false },
    Control { guard: "register-before-read", settings: &[steps::SLOW_LOOK], strike: strike!(members::reserve_late), strikes: 3, repeats: false },
    Control { guard: "relay-election", settings: &[], strike: strike!(members::let_be), strikes: 3, repeats: true },
    Control { guard: "unsent-rows-reading", settings: &[], strike: strike!(time::late_commit, Duration::from_secs(3)), strikes: 1, repeats: false },
];

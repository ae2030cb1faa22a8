//! All programs and clients together: which of them does its next step, what goes wrong in between, and the end.

use shop_consumers::projector;
use tokio::runtime::Runtime;

use crate::actors::browser::Live;
use crate::actors::projector::{Projector, TOPICS};
use crate::actors::relay::{Lock, Relay};
use crate::actors::shopper::{Catalogue, Shopper};
use crate::actors::writer::{Role, Writer};
use crate::check;
use crate::fault::{Fault, Faults};
use crate::shop::Shop;

/// Copies of each program.
const COPIES: usize = 2;
/// How long a transaction may stay open, in milliseconds: the most that `MYSQL_TIMEOUT` may be.
const LONGEST_TRANSACTION: i64 = 60_000;
/// Rounds after which all must be quiet.
const ROUNDS: usize = 3_000;
/// Rounds of them, at most, in which something still goes wrong.
const MOST_TROUBLED_ROUNDS: usize = 20;
/// Rounds without a step after which it is: a browser that begins may be told nothing for a few.
const QUIET_ROUNDS: usize = 6;

/// The whole shop.
pub struct World {
    /// What the programs stand on.
    pub shop: Shop,
    catalogue: Catalogue,
    shoppers: Vec<Shopper>,
    relays: Vec<Relay>,
    lock: Lock,
    writers: Vec<Writer>,
    projectors: Vec<Projector>,
    live: Live,
    /// How often each actor's turn comes, by chance.
    weights: Vec<u32>,
}

impl World {
    /// A shop that has just opened.
    pub fn open(mut shop: Shop) -> Self {
        let catalogue = Catalogue::open(&mut shop);
        let batch = shop.rng.usize(1..7);
        let shoppers = (0..shop.rng.usize(1..4)).map(Shopper::new).collect();
        let relays = (0..COPIES).map(|n| Relay::new(n, batch)).collect();
        let roles = [Role::Stock, Role::Saga];
        let writers = roles
            .into_iter()
            .flat_map(|role| (0..COPIES).map(move |member| Writer::new(role, member, batch)))
            .collect();
        let projectors = (0..COPIES).map(|n| Projector::new(n, batch)).collect();
        let live = Live::new(&mut shop);
        let mut world = Self {
            shop,
            catalogue,
            shoppers,
            relays,
            lock: Lock::default(),
            writers,
            projectors,
            live,
            weights: Vec::new(),
        };
        world.share_out();
        world.weights = (0..world.actors())
            .map(|_| world.shop.rng.u32(1..9))
            .collect();
        world
    }

    fn actors(&self) -> usize {
        self.shoppers.len() + self.relays.len() + self.writers.len() + self.projectors.len() + 1
    }

    /// One step of somebody, and perhaps trouble. Returns by how many milliseconds the clock went on.
    pub fn step(&mut self) -> i64 {
        let before = self.shop.clock;
        self.trouble();
        let total: u32 = self.weights.iter().sum();
        let mut at = self.shop.rng.u32(..total);
        let mut chosen = 0;
        while at >= self.weights[chosen] {
            at -= self.weights[chosen];
            chosen += 1;
        }
        let crashes = self.shop.strikes(Fault::Crash, 40);
        self.turn(chosen, crashes);
        self.shop.clock += self.shop.rng.i64(0..20);
        self.shop.clock - before
    }

    /// The next step of an actor, or its crash.
    fn turn(&mut self, mut chosen: usize, crashes: bool) -> bool {
        let shop = &mut self.shop;
        if let Some(shopper) = self.shoppers.get_mut(chosen) {
            return if crashes {
                shopper.crash(shop)
            } else {
                shopper.step(shop, &self.catalogue)
            };
        }
        chosen -= self.shoppers.len();
        if let Some(relay) = self.relays.get_mut(chosen) {
            return if crashes {
                relay.crash(shop, &mut self.lock)
            } else {
                relay.step(shop, &mut self.lock)
            };
        }
        chosen -= self.relays.len();
        if let Some(writer) = self.writers.get_mut(chosen) {
            return if crashes {
                writer.crash(shop)
            } else {
                writer.step(shop)
            };
        }
        chosen -= self.writers.len();
        if let Some(projector) = self.projectors.get_mut(chosen) {
            return if crashes {
                projector.crash(shop)
            } else {
                projector.step(shop)
            };
        }
        if crashes {
            self.live.crash(shop)
        } else {
            self.live.step(shop)
        }
    }

    fn trouble(&mut self) {
        if self.shop.strikes(Fault::Deposed, 60) && self.lock.take_away() {
            self.shop
                .note(|| "the leading relay loses its lock".to_owned());
        }
        if self.shop.strikes(Fault::Rebalance, 60) {
            self.shop.note(|| "partitions change hands".to_owned());
            self.share_out();
        }
        if self.shop.strikes(Fault::Redeliver, 60) {
            let groups = [Role::Stock.name(), Role::Saga.name(), projector::NAME];
            let group = groups[self.shop.rng.usize(..groups.len())];
            let Shop { rng, kafka, .. } = &mut self.shop;
            kafka.redeliver(group, || rng.i64(0..6));
            self.shop.note(|| format!("{group} reads again"));
        }
        if self.shop.strikes(Fault::Clocks, 80) {
            self.shop.skew = self.shop.rng.i64(-3_600_000..3_600_000);
        }
        if self.shop.strikes(Fault::Hours, 150) {
            self.hours_pass();
        }
        if self.shop.strikes(Fault::Tail, 60) {
            self.live.reopen(&mut self.shop);
        }
        if self.shop.strikes(Fault::ViewsAway, 50) {
            let mut views = self.shop.views.open();
            views.away = !views.away;
        }
    }

    /// Time passes; transactions that take too long are ended, and what is old is pruned.
    fn hours_pass(&mut self) {
        self.shop.clock += self.shop.rng.i64(1_000..8_000_000);
        self.shop.note(|| "time passes".to_owned());
        let latest = self.shop.clock - LONGEST_TRANSACTION;
        let too_long = |since: Option<i64>| since.is_some_and(|since| since < latest);
        for shopper in &mut self.shoppers {
            if too_long(shopper.open_since()) {
                shopper.crash(&mut self.shop);
            }
        }
        for writer in &mut self.writers {
            if too_long(writer.open_since()) {
                writer.crash(&mut self.shop);
            }
        }
        let keep = self.shop.rng.i64(0..4_000_000);
        self.shop.mysql.prune(self.shop.clock - keep);
    }

    /// Partitions go to whichever copy chance says.
    fn share_out(&mut self) {
        let Shop { rng, kafka, .. } = &mut self.shop;
        for role in [Role::Stock, Role::Saga] {
            kafka.assign(role.name(), role.topics(), || rng.usize(..COPIES));
        }
        kafka.assign(projector::NAME, TOPICS, || rng.usize(..COPIES));
    }

    /// Everybody does one step, nobody begins anything new. In: what still goes wrong. Returns whether anybody did.
    fn round(&mut self, faults: Faults) -> bool {
        let mut did = false;
        for shopper in &mut self.shoppers {
            did |= shopper.finish(&mut self.shop);
        }
        for chosen in self.shoppers.len()..self.actors() - 1 {
            let crashes = faults.has(Fault::Crash) && self.shop.rng.u8(..12) == 0;
            did |= self.turn(chosen, crashes);
        }
        if faults.has(Fault::Tail) && self.shop.rng.u8(..6) == 0 {
            self.live.reopen(&mut self.shop);
            did = true;
        }
        if faults.has(Fault::Reconnect) && self.shop.rng.u8(..6) == 0 {
            self.live.come_and_go(&mut self.shop);
            did = true;
        }
        did | self.live.drain(&mut self.shop)
    }

    /// Nobody begins anything new, and all goes on until there is nothing left to do. The last changes meet trouble too: what nobody
    /// would tell anew is lost then or never. In: what waits live in, and how time passes there.
    pub fn settle(&mut self, waits: &Runtime, mut pass: impl FnMut(i64)) {
        self.shop.note(|| "everything heals".to_owned());
        self.shop.views.open().away = false;
        let none: Faults = [].into_iter().collect();
        let faults = std::mem::replace(&mut self.shop.faults, none);
        let troubled = self.shop.rng.usize(..MOST_TROUBLED_ROUNDS);
        let mut quiet = 0;
        for round in 0..ROUNDS {
            // Before anybody's payment time runs out.
            self.shop.clock += 1;
            pass(300);
            let _inside = waits.enter();
            let trouble = if round < troubled { faults } else { none };
            quiet = if self.round(trouble) { 0 } else { quiet + 1 };
            if quiet > QUIET_ROUNDS || self.shop.violation.is_some() {
                break;
            }
        }
        if quiet <= QUIET_ROUNDS {
            self.shop
                .violated("all comes to rest", format!("not within {ROUNDS} rounds"));
        }
        check::when_quiet(&mut self.shop);
        self.live.check(&mut self.shop);
        self.shop.faults = faults;
    }
}

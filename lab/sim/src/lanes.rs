//! A consumer's records, key by key: what fails is parked with all that follows of its key, tried again, given up, redriven or
//! dropped, while members crash and partitions change hands. Sorting, settling and the ledger are the loop's own.

mod member;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use shop_core::bus::{Partition, Polled};
use shop_core::domain::{EventId, ProductId, StockLevel, Timestamp};
use shop_core::events::{
    DecodeError, Encoding, Event, EventType, Payload, RawRecord, Source, Topic,
};
use uuid::Uuid;

use crate::fault::Fault;
use crate::shop::Shop;
use member::Member;
use table::Table;

const TOPIC: Topic = Topic::StockLevels;
const PARTITIONS: i32 = 2;
const MEMBERS: usize = 2;
/// Rounds, of a second each, after which all must be quiet.
const ROUNDS: usize = 600;

/// What the members share.
#[derive(Debug, Default)]
struct Site {
    log: BTreeMap<Partition, Vec<Polled>>,
    owners: BTreeMap<Partition, usize>,
    stored: BTreeMap<Partition, i64>,
    table: Table,
    /// How often each record will fail yet.
    failing: BTreeMap<Source, u32>,
    /// The newest version that had its effect, by key.
    effects: BTreeMap<Vec<u8>, u32>,
    /// Versions that somebody dropped.
    dropped: BTreeSet<(Vec<u8>, u32)>,
    letters: BTreeSet<Source>,
    /// The version of each record.
    versions: BTreeMap<Source, u32>,
    /// Whether any state makes every earlier one obsolete.
    later_states_suffice: bool,
}

/// A log of a few keys, and a role that reads it.
pub struct Lanes {
    site: Site,
    members: Vec<Member>,
    keys: Vec<ProductId>,
    most_records: usize,
}

impl Lanes {
    /// An empty log.
    pub fn open(shop: &mut Shop) -> Self {
        let mut site = Site {
            later_states_suffice: shop.rng.u8(..3) == 0,
            ..Site::default()
        };
        let batch = shop.rng.usize(1..7);
        let members = (0..MEMBERS)
            .map(|number| Member::new(number, batch, site.later_states_suffice))
            .collect();
        share_out(shop, &mut site);
        let keys = (0..shop.rng.usize(1..4)).map(|_| ProductId::from_uuid(shop.id()));
        Self {
            keys: keys.collect(),
            site,
            members,
            most_records: shop.rng.usize(4..30),
        }
    }

    /// One step of somebody, and perhaps trouble.
    pub fn step(&mut self, shop: &mut Shop) {
        shop.clock += shop.rng.i64(0..800);
        if shop.strikes(Fault::Rebalance, 30) {
            shop.note(|| "lanes: partitions change hands".to_owned());
            share_out(shop, &mut self.site);
        }
        if shop.strikes(Fault::Redeliver, 40) {
            for stored in self.site.stored.values_mut() {
                *stored = (*stored - shop.rng.i64(0..4)).max(0);
            }
            for member in &mut self.members {
                member.read_again();
            }
        }
        if shop.rng.u8(..3) == 0 && self.site.versions.len() < self.most_records {
            self.produce(shop);
            return;
        }
        let chosen = shop.rng.usize(..self.members.len());
        let member = &mut self.members[chosen];
        if shop.strikes(Fault::Crash, 25) {
            member.crash(shop);
        } else {
            member.step(shop, &mut self.site);
        }
    }

    /// Trouble ends, somebody decides about what was given up, and all goes on until there is nothing left to do.
    pub fn settle(&mut self, shop: &mut Shop) {
        let faults = std::mem::replace(&mut shop.faults, [].into_iter().collect());
        shop.note(|| "lanes: everything heals".to_owned());
        for round in 0..ROUNDS {
            shop.clock += 1_000;
            if round % 40 == 20 {
                self.decide(shop);
            }
            if round % 60 == 30 {
                share_out(shop, &mut self.site); // whoever takes over reads all that is parked
            }
            for member in &mut self.members {
                for _ in 0..6 {
                    member.step(shop, &mut self.site);
                }
            }
            if self.is_quiet() || shop.violation.is_some() {
                break;
            }
        }
        self.check(shop);
        shop.faults = faults;
    }

    /// Appends a record; some fail a few times or for ever, some can not be read.
    fn produce(&mut self, shop: &mut Shop) {
        let key = self.keys[shop.rng.usize(..self.keys.len())];
        let partition = (TOPIC, i32::from(key.uuid().as_bytes()[15] & 1));
        let log = self.site.log.entry(partition).or_default();
        let source = Source {
            topic: partition.0,
            partition: partition.1,
            offset: i64::try_from(log.len()).unwrap_or(i64::MAX),
        };
        let key_bytes = key.uuid().to_string().into_bytes();
        let of_key = |polled: &&Polled| polled.raw.key.as_deref() == Some(&key_bytes);
        let version = 1 + u32::try_from(log.iter().filter(of_key).count()).unwrap_or(u32::MAX);
        let event = level(key, version);
        let wire = event.encode(Encoding::Binary);
        let is_poison = shop.strikes(Fault::Poison, 10);
        log.push(Polled {
            source,
            raw: RawRecord {
                key: Some(key_bytes),
                headers: Vec::new(),
                value: (!is_poison).then_some(wire.value),
            },
            event: if is_poison {
                Err(DecodeError::MissingHeader("ce_id"))
            } else {
                Ok(event)
            },
        });
        self.site.versions.insert(source, version);
        if !is_poison && shop.strikes(Fault::Failing, 4) {
            self.site.failing.insert(source, shop.rng.u32(1..10));
        }
        shop.note(|| format!("lanes: {key} version {version} at {source:?}, poison: {is_poison}"));
    }

    /// An operator mends what failed and has it tried again; what can not be read is dropped.
    fn decide(&mut self, shop: &mut Shop) {
        let now = shop.instant();
        for (source, polled) in self.site.table.dead() {
            if polled.event.is_err() {
                shop.note(|| format!("lanes: {source:?} is dropped"));
                let version = self.site.versions.get(&source).copied().unwrap_or_default();
                let key = polled.raw.key.unwrap_or_default();
                self.site.dropped.insert((key, version));
                self.site.table.delete(&source);
            } else {
                shop.note(|| format!("lanes: {source:?} is redriven"));
                self.site.failing.remove(&source);
                self.site.table.redrive(source, now);
            }
        }
    }

    fn is_quiet(&self) -> bool {
        let all_read = self.site.log.iter().all(|(partition, log)| {
            let stored = self.site.stored.get(partition).copied().unwrap_or_default();
            usize::try_from(stored).is_ok_and(|stored| stored >= log.len())
        });
        all_read && self.site.table.is_empty() && self.members.iter().all(Member::is_idle)
    }

    fn check(&self, shop: &mut Shop) {
        if !self.is_quiet() {
            let what = format!("{:?}, {:?}", self.site.table, self.site.stored);
            shop.violated("what is parked comes to an end", what);
        }
        for log in self.site.log.values() {
            for polled in log {
                if !self.site.is_dealt_with(polled) {
                    let what = format!("{:?}", polled.source);
                    shop.violated("every record has its effect", what);
                }
            }
        }
    }
}

impl Site {
    /// Whether a record had its effect, or nobody wants it any more.
    fn is_dealt_with(&self, polled: &Polled) -> bool {
        let key = polled.raw.key.clone().unwrap_or_default();
        let version = self.versions.get(&polled.source).copied().unwrap_or(0);
        let reached = self.effects.get(&key).is_some_and(|at| *at >= version);
        reached || self.dropped.contains(&(key, version))
    }

    /// No offset passes a record that is neither dealt with nor parked.
    fn check_offsets(&self, shop: &mut Shop) {
        for (partition, log) in &self.log {
            let stored = self.stored.get(partition).copied().unwrap_or_default();
            for polled in log.iter().filter(|polled| polled.source.offset < stored) {
                if !self.is_dealt_with(polled) && !self.table.has(&polled.source) {
                    let what = format!("{:?} is passed, offset {stored} is stored", polled.source);
                    shop.violated("no offset passes an unrecorded record", what);
                }
            }
        }
    }
}

/// Partitions go to whichever member chance says.
fn share_out(shop: &mut Shop, site: &mut Site) {
    for partition in 0..PARTITIONS {
        let member = shop.rng.usize(..MEMBERS);
        site.owners.insert((TOPIC, partition), member);
    }
}

fn level(product_id: ProductId, version: u32) -> Event {
    let level = StockLevel {
        product_id,
        on_hand: version,
        reserved: 0,
        sellable: true,
        version,
    };
    Event {
        id: EventId::from_uuid(Uuid::from_u128(u128::from(version))),
        kind: EventType::StockLevelChanged,
        time: Timestamp::from_millis(0),
        trace: None,
        payload: Payload::StockLevel(level),
    }
}

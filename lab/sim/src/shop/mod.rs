//! What the programs stand on: MySQL, Kafka, MongoDB, clocks and chance, all simulated.

pub mod kafka;
pub mod mysql;
pub mod views;

use std::time::{Duration, Instant};

use shop_core::commands::Call;
use shop_core::domain::Timestamp;
use uuid::Uuid;

use crate::fault::{Fault, Faults};
use crate::plant::Plant;
use kafka::Kafka;
use mysql::Mysql;
use views::ViewStore;

/// The surroundings of every program.
pub struct Shop {
    /// The only source of chance.
    pub rng: fastrand::Rng,
    /// MySQL's clock, in milliseconds; never goes back.
    pub clock: i64,
    /// How far the programs' clocks are from it.
    pub skew: i64,
    /// When the run began, for code that measures spans.
    began: Instant,
    /// The write side.
    pub mysql: Mysql,
    /// The log.
    pub kafka: Kafka,
    /// The read side.
    pub views: ViewStore,
    /// What may happen.
    pub faults: Faults,
    /// The mistake that is planted.
    pub plant: Option<Plant>,
    /// What was promised and not kept: the first.
    pub violation: Option<Violation>,
    trace: Option<Vec<String>>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Shop {
    /// A shop with nothing in it.
    pub fn new(seed: u64, faults: Faults, plant: Option<Plant>, traced: bool) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            clock: 1_000_000,
            skew: 0,
            began: Instant::now(),
            mysql: Mysql::new(plant),
            kafka: Kafka::default(),
            views: ViewStore::default(),
            faults,
            plant,
            violation: None,
            trace: traced.then(Vec::new),
        }
    }

    /// Whether this mistake is planted.
    pub fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Whether chance, of so many, brings this fault about now.
    pub fn strikes(&mut self, fault: Fault, one_of: u32) -> bool {
        self.rng.u32(..one_of) == 0 && self.faults.has(fault)
    }

    /// Now, by a program's own clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock + self.skew)
    }

    /// A call of now.
    pub fn call(&self) -> Call {
        let mut call = Call::now(None);
        call.at = self.now();
        call
    }

    /// Now, for code that measures spans.
    pub fn instant(&self) -> Instant {
        self.began + Duration::from_millis(u64::try_from(self.clock).unwrap_or_default())
    }

    /// A fresh id.
    pub fn id(&mut self) -> Uuid {
        Uuid::from_u128(self.rng.u128(..))
    }

    /// Notes a step, if somebody wants to read it.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} {}", self.clock, line()));
        }
    }

    /// Notes a promise that was not kept.
    pub fn violated(&mut self, promise: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("VIOLATED {promise}: {what}"));
        self.violation.get_or_insert(Violation { promise, what });
    }

    /// The steps that were noted.
    pub fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }
}

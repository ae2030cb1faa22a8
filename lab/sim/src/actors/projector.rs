//! The projector: folds a batch, writes the documents one after the other, publishes statuses, stores offsets.

use shop_consumers::projector::NAME;
use shop_consumers::projector::fold::{Folded, WrittenViews, fold, statuses};
use shop_core::bus::Outcome;
use shop_core::events::{Encoding, Envelope, Topic, WireRecord};

use crate::plant::Plant;
use crate::shop::Shop;
use crate::shop::views::write;

/// What it reads.
pub const TOPICS: &[Topic] = &[Topic::StockLevels, Topic::Orders];

/// One copy of the program.
#[derive(Debug)]
pub struct Projector {
    member: usize,
    batch: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// Some documents are written.
    Writing(Box<Writing>),
    /// The views are written, some statuses published.
    Publishing(Vec<Envelope>, Vec<(Topic, WireRecord)>),
    Published(Vec<Envelope>),
}

#[derive(Debug)]
struct Writing {
    batch: Vec<Envelope>,
    folded: Folded,
    written: WrittenViews,
}

impl Projector {
    /// A copy that has begun.
    pub fn new(member: usize, batch: usize) -> Self {
        Self {
            member,
            batch,
            phase: Phase::Idle,
        }
    }

    /// It dies and starts again.
    pub fn crash(&mut self, shop: &mut Shop) -> bool {
        shop.note(|| format!("projector {} crashes: {}", self.member, self.phase.word()));
        self.phase = Phase::Idle;
        shop.kafka.restart(NAME, self.member);
        true
    }

    /// The next step of the loop.
    pub fn step(&mut self, shop: &mut Shop) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => {
                let mut mine = shop.kafka.owned(NAME, self.member);
                shop.rng.shuffle(&mut mine);
                let most = shop.rng.usize(1..=self.batch);
                let batch = shop.kafka.poll(NAME, &mine, most);
                if batch.is_empty() {
                    return false;
                }
                shop.note(|| format!("projector {} polls {}", self.member, batch.len()));
                if shop.planted(Plant::StatusFirst) {
                    for (topic, record) in statuses(&batch, Encoding::Binary) {
                        shop.kafka.publish(topic, record);
                    }
                }
                let folded = fold(&batch);
                let written = WrittenViews::default();
                self.phase = Phase::Writing(Box::new(Writing {
                    batch,
                    folded,
                    written,
                }));
            }
            Phase::Writing(writing) if shop.views.open().away => {
                self.phase = Phase::Writing(writing);
                return false;
            }
            Phase::Writing(mut writing) => {
                self.phase = if self.write_one(shop, &mut writing) {
                    Phase::Writing(writing)
                } else {
                    let statuses = news(shop, &writing);
                    Phase::Publishing(writing.batch, statuses)
                };
            }
            Phase::Publishing(batch, mut statuses) => {
                if statuses.is_empty() {
                    self.phase = Phase::Published(batch);
                } else {
                    let (topic, record) = statuses.remove(0);
                    shop.note(|| {
                        format!(
                            "projector {} publishes {} {}",
                            self.member,
                            record.key,
                            version_of(&record)
                        )
                    });
                    shop.kafka.publish(topic, record);
                    self.phase = Phase::Publishing(batch, statuses);
                }
            }
            Phase::Published(batch) => {
                shop.note(|| format!("projector {} stores its offsets", self.member));
                shop.kafka.store(NAME, self.member, &batch);
            }
        }
        true
    }

    /// Writes the next document; false if all are.
    fn write_one(&self, shop: &mut Shop, writing: &mut Writing) -> bool {
        let Writing {
            folded, written, ..
        } = writing;
        let guarded = !shop.planted(Plant::VersionGuard);
        let orders = folded.orders.states();
        let levels = folded.stock_levels.states();
        let (what, done) = if let Some(order) = orders.get(written.orders.len()) {
            let mut views = shop.views.open();
            let version = |order: &shop_core::domain::Order| order.version;
            let done = write(&mut views.orders, order.id, order.clone(), version, guarded);
            (format!("{} version {}", order.id, order.version), done)
        } else if let Some(level) = levels.get(written.stock_levels.len()) {
            let mut views = shop.views.open();
            let id = level.product_id;
            let version = |level: &shop_core::domain::StockLevel| level.version;
            let done = write(&mut views.levels, id, *level, version, guarded);
            (format!("{id} version {}", level.version), done)
        } else {
            return false;
        };
        shop.note(|| format!("projector {} writes {what}: {done:?}", self.member));
        let Some(done) = done else {
            shop.violated("a view's version never falls", what);
            return false;
        };
        if written.orders.len() < orders.len() {
            written.orders.push(done);
        } else {
            written.stock_levels.push(done);
        }
        true
    }
}

/// The statuses of a batch that is written.
fn news(shop: &Shop, writing: &Writing) -> Vec<(Topic, WireRecord)> {
    if shop.planted(Plant::StatusFirst) {
        return Vec::new();
    }
    if !shop.planted(Plant::StatusOnce) {
        return statuses(&writing.batch, Encoding::Binary);
    }
    let outcomes = writing.folded.outcomes(&writing.written);
    let applied = writing.batch.iter().zip(outcomes);
    let applied = applied.filter(|(_, outcome)| *outcome == Outcome::Applied);
    let applied: Vec<Envelope> = applied.map(|(envelope, _)| envelope.clone()).collect();
    statuses(&applied, Encoding::Binary)
}

fn version_of(record: &WireRecord) -> &str {
    record
        .headers
        .iter()
        .find(|(name, _)| *name == "aggregate_version")
        .map_or("", |(_, value)| value)
}

impl Phase {
    const fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Writing(_) => "between two documents",
            Self::Publishing(..) => "between views and statuses",
            Self::Published(_) => "between statuses and offsets",
        }
    }
}

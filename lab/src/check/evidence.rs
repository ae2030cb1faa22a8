//! What was read, in memory, so that judging needs no server.
//!
//! States are JSON objects of one form, whatever they were read from: ids as hyphenated UUIDs, times in milliseconds since
//! 1970, amounts as `{minor, currency}`, what is absent as null.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// A kind of aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A user.
    User,
    /// A product.
    Product,
    /// An order.
    Order,
    /// The stock side of an order, by the order's id.
    Stock,
    /// The level of a product, by the product's id.
    StockLevel,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::User,
        Self::Product,
        Self::Order,
        Self::Stock,
        Self::StockLevel,
    ];
    /// Those that have a view.
    pub const VIEWED: [Self; 4] = [Self::User, Self::Product, Self::Order, Self::StockLevel];

    /// The word in the outbox's column `aggregate_type`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
            Self::Stock => "stock",
            Self::StockLevel => "stock_level",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The topic of its events, without prefix.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Product => "products",
            Self::Order => "orders",
            Self::Stock => "stock",
            Self::StockLevel => "stock-levels",
        }
    }

    /// The collection of its views; `None` if it has none.
    pub const fn collection(self) -> Option<&'static str> {
        match self {
            Self::User => Some("users"),
            Self::Product => Some("products"),
            Self::Order => Some("orders"),
            Self::StockLevel => Some("stock_levels"),
            Self::Stock => None,
        }
    }

    /// The public form of an id, as clients see it.
    pub fn id(self, id: Uuid) -> AggregateName {
        AggregateName { kind: self, id }
    }
}

/// An id as people meet it in answers and logs.
#[derive(Debug, Clone, Copy)]
pub struct AggregateName {
    kind: Kind,
    id: Uuid,
}

impl fmt::Display for AggregateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::User => write!(f, "user_{}", self.id),
            Kind::Product => write!(f, "product_{}", self.id),
            Kind::Order => write!(f, "order_{}", self.id),
            Kind::Stock => write!(f, "stock of order_{}", self.id),
            Kind::StockLevel => write!(f, "stock level of product_{}", self.id),
        }
    }
}

/// A state and its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// The version.
    pub version: u32,
    /// The state, in the form that the module describes.
    pub state: Value,
}

/// Units of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Which product.
    pub product: Uuid,
    /// How many.
    pub quantity: i64,
}

/// An order in the tables of stock-reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// HELD, REJECTED, RELEASED or SHIPPED.
    pub state: String,
    /// The number of decisions that were announced.
    pub version: u32,
    /// What was held.
    pub lines: Vec<Line>,
    /// What was short: product and units there were.
    pub short: Vec<Line>,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Its number.
    pub id: u64,
    /// Which product.
    pub product: Uuid,
    /// For which order, if any.
    pub order: Option<Uuid>,
    /// RECEIVED, ADJUSTED, RESERVED, RELEASED or SHIPPED.
    pub kind: String,
    /// Units.
    pub quantity: i64,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub seq: u64,
    /// The event.
    pub event_id: Uuid,
    /// About what kind of thing.
    pub kind: Kind,
    /// About which.
    pub id: Uuid,
    /// The version that the event made.
    pub version: u32,
    /// What happened.
    pub event_type: String,
    /// Whether the relay marked it sent.
    pub sent: bool,
}

/// What `MySQL` says.
#[derive(Debug, Clone, Default)]
pub struct WriteSide {
    /// Users, products, orders and stock levels.
    pub entities: BTreeMap<Kind, BTreeMap<Uuid, Entity>>,
    /// The stock side of orders.
    pub holds: BTreeMap<Uuid, Hold>,
    /// The ledger.
    pub movements: Vec<Movement>,
    /// The outbox.
    pub outbox: Vec<OutboxRow>,
}

impl WriteSide {
    /// All aggregates of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (Uuid, &Entity)> {
        self.entities
            .get(&kind)
            .into_iter()
            .flatten()
            .map(|(id, entity)| (*id, entity))
    }

    /// One aggregate.
    pub fn get(&self, kind: Kind, id: Uuid) -> Option<&Entity> {
        self.entities.get(&kind)?.get(&id)
    }
}

/// A record of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key: an aggregate's id.
    pub key: Uuid,
    /// Which event.
    pub event_id: Uuid,
    /// What happened.
    pub event_type: String,
    /// The version that the event made.
    pub version: u32,
    /// The state that it carries; for a decision about stock its hold's state and lines.
    pub state: Value,
}

/// What `MongoDB` says: documents by kind and id.
pub type Views = BTreeMap<Kind, BTreeMap<Uuid, Entity>>;

/// What Kafka says: records by topic (without prefix), in the order of partition and offset.
pub type Log = BTreeMap<&'static str, Vec<Record>>;

/// The topics that the check reads.
pub const TOPICS: [&str; 7] = [
    "users",
    "products",
    "orders",
    "stock",
    "stock-levels",
    "order-status",
    "stock-status",
];

/// A mutation that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The mutation.
    pub mutation: &'static str,
    /// What it changed.
    pub kind: Kind,
    /// Which.
    pub id: Uuid,
    /// The version that its answer named. `None` if only a repeat told that an earlier try had worked.
    pub version: Option<u32>,
    /// The status that its answer named, for an order.
    pub status: Option<String>,
    /// The payment's reference, for a payment.
    pub reference: Option<String>,
}

/// A payment that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPayment {
    /// Of which order.
    pub order: Uuid,
    /// Its reference.
    pub reference: String,
    /// The code of the refusal.
    pub code: String,
}

/// A status change as a subscriber received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The order's version.
    pub version: u32,
    /// The status before.
    pub previous: Option<String>,
    /// The status after.
    pub status: String,
    /// The version of the order that came with it.
    pub order_version: u32,
    /// The status of the order that came with it.
    pub order_status: String,
}

/// Everything that one subscriber received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The order.
    pub order: Uuid,
    /// The frames of each connection, in the order of arrival.
    pub connections: Vec<Vec<Frame>>,
    /// Errors that the server sent.
    pub errors: Vec<String>,
}

impl Watched {
    /// The version of the newest frame.
    pub fn last_version(&self) -> Option<u32> {
        self.connections
            .iter()
            .rev()
            .find_map(|frames| frames.last())
            .map(|frame| frame.version)
    }
}

/// What the clients say.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// What was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Payments that were refused.
    pub refused_payments: Vec<RefusedPayment>,
    /// How many orders were sent of which no answer came: they exist or not.
    pub unknown_orders: usize,
    /// What was answered under each idempotency key.
    pub outcomes: BTreeMap<String, Vec<String>>,
    /// Records that were put into topics to be no events, by topic, partition and offset.
    pub poison: BTreeSet<(&'static str, i32, i64)>,
    /// Answers that nothing explains: errors that do not ask to try again, refusals of what can not be refused.
    pub surprises: Vec<String>,
    /// What the subscribers received.
    pub watched: Vec<Watched>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// `MySQL`.
    pub write: WriteSide,
    /// Kafka.
    pub log: Log,
    /// `MongoDB`.
    pub views: Views,
    /// The clients.
    pub clients: Clients,
}

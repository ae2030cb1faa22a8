//! An event: what happened to which aggregate, which version it made, and the state after it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::Topic;
use crate::domain::order::Shortage;
use crate::domain::stock::Units;
use crate::domain::{
    EventId, Order, OrderId, OrderStatus, Product, StockLevel, Timestamp, User, Version,
};

/// What kind of thing an event is about. The word is the column `aggregate_type` of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateType {
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

impl AggregateType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::User,
        Self::Product,
        Self::Order,
        Self::Stock,
        Self::StockLevel,
    ];

    /// The word that tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
            Self::Stock => "stock",
            Self::StockLevel => "stock_level",
        }
    }

    /// The aggregate type of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The topic that the relay sends its events to.
    pub const fn topic(self) -> Topic {
        match self {
            Self::User => Topic::Users,
            Self::Product => Topic::Products,
            Self::Order => Topic::Orders,
            Self::Stock => Topic::Stock,
            Self::StockLevel => Topic::StockLevels,
        }
    }
}

macro_rules! event_types {
    ($($name:ident = $wire:literal: $doc:literal,)*) => {
        /// What happened. Its word is the header `ce_type`.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventType {
            $(#[doc = $doc] $name,)*
            /// A word that this version of the program does not know. A state event is applied by its state all the same.
            Unknown(String),
        }

        impl EventType {
            /// All that this version of the program knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];

            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $wire,)*
                    Self::Unknown(word) => word,
                }
            }
        }

        impl From<&str> for EventType {
            fn from(word: &str) -> Self {
                match word {
                    $($wire => Self::$name,)*
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }
    };
}

event_types! {
    UserCreated = "user.created": "A user was created.",
    UserUpdated = "user.updated": "A user's name or e-mail changed.",
    UserDeleted = "user.deleted": "A user was deleted.",
    ProductCreated = "product.created": "A product was created.",
    ProductUpdated = "product.updated": "A product's name, description or price changed.",
    ProductDeleted = "product.deleted": "A product was taken out of the catalogue.",
    OrderCreated = "order.created": "An order was placed: PENDING.",
    OrderConfirmed = "order.confirmed": "Its stock is held: CONFIRMED.",
    OrderRejected = "order.rejected": "Its stock was short: REJECTED.",
    OrderPaid = "order.paid": "A payment is recorded: PAID.",
    OrderProcessing = "order.processing": "It is being packed: PROCESSING.",
    OrderShipped = "order.shipped": "It is on its way: SHIPPED.",
    OrderDelivered = "order.delivered": "It arrived: DELIVERED.",
    OrderCanceled = "order.canceled": "It was called off, or a payment came after that: CANCELED.",
    OrderDeleted = "order.deleted": "It was deleted.",
    StockReserved = "stock.reserved": "All lines of an order are held.",
    StockRejected = "stock.rejected": "An order's stock was short.",
    StockReleased = "stock.released": "What was held for an order went back.",
    StockShipped = "stock.shipped": "What was held for an order left.",
    StockLevelChanged = "stock.level_changed": "The level of a product changed.",
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<OrderStatus> for EventType {
    /// The event that brings an order to a status.
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::OrderCreated,
            OrderStatus::Confirmed => Self::OrderConfirmed,
            OrderStatus::Rejected => Self::OrderRejected,
            OrderStatus::Paid => Self::OrderPaid,
            OrderStatus::Processing => Self::OrderProcessing,
            OrderStatus::Shipped => Self::OrderShipped,
            OrderStatus::Delivered => Self::OrderDelivered,
            OrderStatus::Canceled => Self::OrderCanceled,
        }
    }
}

/// The trace that an event belongs to: the header `traceparent` of W3C Trace Context. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

/// A text that is no `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a W3C traceparent of version 00")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// From a trace id and a span id; neither may be zero.
    pub fn new(trace_id: u128, span_id: u64) -> Self {
        Self(format!("00-{trace_id:032x}-{span_id:016x}-01").into())
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let hex = |part: &str, len: usize| {
            part.len() == len
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            return Err(InvalidTraceParent);
        };
        let not_zero = |part: &str| part.bytes().any(|b| b != b'0');
        let good = version == "00"
            && hex(trace, 32)
            && hex(span, 16)
            && hex(flags, 2)
            && not_zero(trace)
            && not_zero(span);
        if good {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTraceParent)
        }
    }
}

/// What was decided about an order's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockDecision {
    /// Which order.
    pub order_id: OrderId,
    /// The number of decisions about this order, this one included.
    pub version: Version,
    /// The order's version that was acted on.
    pub order_version: Version,
    /// What was decided; `None` for a word this version of the program does not know.
    pub state: Option<crate::domain::stock::HoldState>,
    /// What moved.
    pub lines: Vec<Units>,
    /// What was short.
    pub shortages: Vec<Shortage>,
}

/// The state that an event carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A user.
    User(User),
    /// A product.
    Product(Product),
    /// An order; boxed, since it is by far the largest.
    Order(Box<Order>),
    /// A decision about an order's stock.
    Stock(StockDecision),
    /// A product's level.
    StockLevel(StockLevel),
}

/// The id of the event that brings an aggregate to a version: always the same, so that it need not be kept to be sent
/// again (ADR 0031).
///
/// It is the aggregate's id with kind and version mixed into its lower bits, as a `UUIDv8`: as far apart as the aggregates'
/// ids are, and near each other by time.
pub fn event_id(kind: AggregateType, aggregate_id: Uuid, version: Version) -> EventId {
    /// An odd number spreads what is small over all bits and maps no two to one.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    const RANDOM_BITS: u64 = (1 << 62) - 1;
    const VERSION_BITS: u128 = 0xf << 76;
    const CUSTOM: u128 = 0x8 << 76;
    let kind: u64 = match kind {
        AggregateType::User => 1,
        AggregateType::Product => 2,
        AggregateType::Order => 3,
        AggregateType::Stock => 4,
        AggregateType::StockLevel => 5,
    };
    let mixed = (u64::from(version) << 3 | kind).wrapping_mul(SPREAD) & RANDOM_BITS;
    let bits = aggregate_id.as_u128() ^ u128::from(mixed);
    EventId::from_uuid(Uuid::from_u128(bits & !VERSION_BITS | CUSTOM))
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which event; a repeat has the same id.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub time: Timestamp,
    /// The trace it belongs to, if any.
    pub trace: Option<TraceParent>,
    /// The state after it.
    pub payload: Payload,
}

impl Event {
    /// What kind of thing it is about.
    pub fn aggregate_type(&self) -> AggregateType {
        match self.payload {
            Payload::User(_) => AggregateType::User,
            Payload::Product(_) => AggregateType::Product,
            Payload::Order(_) => AggregateType::Order,
            Payload::Stock(_) => AggregateType::Stock,
            Payload::StockLevel(_) => AggregateType::StockLevel,
        }
    }

    /// Which thing it is about; the record's key.
    pub fn aggregate_id(&self) -> Uuid {
        match &self.payload {
            Payload::User(user) => user.id.uuid(),
            Payload::Product(product) => product.id.uuid(),
            Payload::Order(order) => order.id.uuid(),
            Payload::Stock(decision) => decision.order_id.uuid(),
            Payload::StockLevel(level) => level.product_id.uuid(),
        }
    }

    /// The version that the event made.
    pub fn version(&self) -> Version {
        match &self.payload {
            Payload::User(user) => user.version,
            Payload::Product(product) => product.version,
            Payload::Order(order) => order.version,
            Payload::Stock(decision) => decision.version,
            Payload::StockLevel(level) => level.version,
        }
    }
}

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// An event as it was read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where it was read.
    pub source: Source,
    /// The event.
    pub event: Event,
}

//! The topics: the only place that spells their names.

use std::fmt;

/// A topic by its role. Its name on the broker is [`TopicNames::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// State of users, by the relay.
    Users,
    /// State of products, by the relay.
    Products,
    /// State of orders, by the relay.
    Orders,
    /// Decisions about orders' stock, by the relay.
    Stock,
    /// Levels per product, by the relay.
    StockLevels,
    /// One record per order event once its view is written, by the projector.
    OrderStatus,
    /// The newest level per product once its view is written, by the projector.
    StockStatus,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Topic {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Users,
        Self::Products,
        Self::Orders,
        Self::Stock,
        Self::StockLevels,
        Self::OrderStatus,
        Self::StockStatus,
    ];

    /// The name without prefix; metrics and logs use it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::Stock => "stock",
            Self::StockLevels => "stock-levels",
            Self::OrderStatus => "order-status",
            Self::StockStatus => "stock-status",
        }
    }

    /// How long the broker keeps a record, in milliseconds.
    pub const fn retention_ms(self) -> i64 {
        match self {
            Self::Users | Self::Products | Self::Orders | Self::Stock => 30 * DAY_MS,
            Self::StockLevels => 7 * DAY_MS,
            Self::OrderStatus | Self::StockStatus => DAY_MS,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The topics' names on one broker: the setting `TOPIC_PREFIX` keeps shops (and tests) on one broker apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// Names that begin with a prefix; the empty one is the default.
    pub fn with_prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The name of a topic on the broker.
    pub fn name(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Which topic a name on the broker is; `None` if it is not ours.
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let bare = name.strip_prefix(self.prefix.as_str())?;
        Topic::ALL.into_iter().find(|topic| topic.as_str() == bare)
    }

    /// What a consumer group's name begins with, so that shops on one broker have groups of their own.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

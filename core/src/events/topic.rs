//! The topics: the only place that spells their names.

use std::fmt;
use std::str::FromStr;

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

/// Bytes of a dead letter, at most.
pub const DEAD_LETTER_BYTES: usize = 64 * 1024 * 1024;

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

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(word: &str) -> Result<Self, UnknownTopic> {
        let found = Self::ALL.into_iter().find(|topic| topic.as_str() == word);
        found.ok_or_else(|| UnknownTopic(word.to_owned()))
    }
}

/// A word that names no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no topic {0}")]
pub struct UnknownTopic(String);

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is on the broker for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The topic itself.
    Records(Topic),
    /// What a consumer could not handle of it, as it was, with headers that say why.
    DeadLetters(Topic),
}

impl Channel {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let dead_letters = Topic::ALL.into_iter().map(Self::DeadLetters);
        Topic::ALL
            .into_iter()
            .map(Self::Records)
            .chain(dead_letters)
    }

    /// How long the broker keeps a record, in milliseconds.
    pub const fn retention_ms(self) -> i64 {
        match self {
            Self::Records(topic) => topic.retention_ms(),
            Self::DeadLetters(_) => 30 * DAY_MS,
        }
    }

    /// How many bytes one record may have: what is there already, and is dead, must fit with what is said about it. `None` is the
    /// broker's own limit.
    pub const fn max_message_bytes(self) -> Option<usize> {
        match self {
            Self::Records(_) => None,
            Self::DeadLetters(_) => Some(DEAD_LETTER_BYTES),
        }
    }
}

impl From<Topic> for Channel {
    fn from(topic: Topic) -> Self {
        Self::Records(topic)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(topic) => topic.fmt(f),
            Self::DeadLetters(topic) => write!(f, "{topic}{DEAD_LETTERS}"),
        }
    }
}

/// What the name of a topic of dead letters ends with.
const DEAD_LETTERS: &str = ".dlq";

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
    pub fn name(&self, channel: impl Into<Channel>) -> String {
        format!("{}{}", self.prefix, channel.into())
    }

    /// Which topic a name on the broker is; `None` if it is not ours, or holds dead letters.
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let bare = name.strip_prefix(self.prefix.as_str())?;
        bare.parse().ok()
    }

    /// What a name on the broker stands for; `None` if it is not ours.
    pub fn channel(&self, name: &str) -> Option<Channel> {
        let bare = name.strip_prefix(self.prefix.as_str())?;
        match bare.strip_suffix(DEAD_LETTERS) {
            Some(topic) => topic.parse().ok().map(Channel::DeadLetters),
            None => bare.parse().ok().map(Channel::Records),
        }
    }

    /// What a consumer group's name begins with, so that shops on one broker have groups of their own.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

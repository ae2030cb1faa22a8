//! What is live: one reader per process of the topics `order-status` and `stock-status`, fanned out to those who watch.
//!
//! Owns the reader ([`feed`]); for one order the fan-out with one bounded mailbox per watcher ([`hub`]), what was
//! answered about its states ([`answers`]), the rule that makes a
//! gapless stream of what arrives in any order and number ([`merge`]), and the watcher itself ([`watch`]); updates of many
//! orders ([`updates`]); levels of stock ([`stock`]); and the cursors from which a client goes on ([`cursor`]). Never waits for
//! a slow client: a mailbox that is full is emptied and marked, and its watcher reads the view, or the topic, instead.

pub mod answers;
pub mod cursor;
pub mod feed;
pub mod hub;
pub mod merge;
pub mod stock;
pub mod updates;
pub mod watch;

use shop_core::runtime::settings::KafkaSettings;

pub use answers::Question;
pub use hub::{Hub, Published};
pub use stock::{StockHub, StockWatch};
pub use updates::{Follower, StatusLog, Updates};
pub use watch::{Change, Watch};

/// All that is live in one process. Clones share it.
#[derive(Clone)]
pub struct Live {
    /// Single orders.
    pub orders: Hub,
    /// Many orders.
    pub updates: Updates,
    /// The topic again, for who missed some of it.
    pub log: StatusLog,
    /// Stock.
    pub stock: StockHub,
}

impl Live {
    /// Nobody watches.
    pub fn new(settings: &KafkaSettings) -> Self {
        Self {
            orders: Hub::new(),
            updates: Updates::default(),
            log: StatusLog::new(settings),
            stock: StockHub::default(),
        }
    }
}

/// Why something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stream begins, and has no snapshot.
    Begin,
    /// The stream begins with it, as it is now.
    Snapshot,
    /// It happened after the client's cursor and before now.
    Missed,
    /// It has just happened.
    Live,
    /// The client's cursor leads nowhere.
    Resync,
}

//! Live status: one reader of the topic `order-status` per process, fanned out to those who watch an order.
//!
//! Owns the reader ([`feed`]), the fan-out with one bounded mailbox per watcher ([`hub`]), the rule that makes a gapless
//! stream of what arrives in any order and number ([`merge`]), the watcher itself ([`watch`]), and the cursors from which a client goes on ([`cursor`]). Never waits for a
//! slow client: a mailbox that is full is emptied and marked, and its watcher reads the view instead.

pub mod cursor;
pub mod feed;
pub mod hub;
pub mod merge;
pub mod watch;

pub use hub::Hub;
pub use watch::{Change, Kind, Watch};

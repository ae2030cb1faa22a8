//! Updates of many orders, as they happen, to whoever follows them: by status, of one customer, or all.
//!
//! Owns the fan-out by index with one bounded mailbox per follower ([`hub`]), the topic read again for who missed something
//! ([`log`]), and the follower itself ([`follower`]). A place in the topic is a cursor that any copy of this program can go on
//! from. Never waits for a slow follower: its mailbox is emptied and marked, and it reads the topic from where it stands.

pub mod follower;
pub mod hub;
pub mod log;

pub use follower::{Follower, Item};
pub use hub::Updates;
pub use log::StatusLog;

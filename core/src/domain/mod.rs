//! The rules of the shop, pure: no IO, no clock, no randomness, no async.
//!
//! Owns state machines, stock arithmetic, money, ids, limits and the refusals that follow from them. Time and ids come
//! in as arguments. To add a rule: 1. put it in the noun's file, 2. give it a [`Refusal`] with a code, 3. test it
//! there with a table and, if it is an invariant, in `tests` with a property.

pub mod ids;
pub mod limits;
pub mod money;
pub mod order;
pub mod product;
#[cfg(test)]
mod properties;
pub mod refusal;
pub mod request;
pub mod status;
pub mod stock;
pub mod time;
pub mod user;

pub use ids::{EventId, OrderId, ProductId, UserId};
pub use money::{Currency, Money};
pub use order::Order;
pub use product::Product;
pub use refusal::Refusal;
pub use request::{Principal, RequestKey, Scope};
pub use status::OrderStatus;
pub use stock::StockLevel;
pub use time::Timestamp;
pub use user::User;

/// The number of changes an aggregate has seen: 1 when it is created, plus exactly 1 per change.
pub type Version = u32;

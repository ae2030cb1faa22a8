//! The types that clients see, each around the domain's own value. Knows no SQL, no rules and no MongoDB.
//!
//! To add a field: 1. a resolver with a doc comment here, which is its description, 2. a document in
//! `tests/it/documents` that asks for it, 3. `make schema`.

mod money;
mod node;
mod orders;
mod page;
mod products;
mod refusals;
mod users;

pub use money::{Money, MoneyInput};
pub use node::{GlobalId, Node};
pub use orders::{
    Actor, Order, OrderItem, OrderStatus, Payment, PaymentState, StockShortage, TimelineEntry,
};
pub use page::{Connection, Edge, PageArgs, PageInfo};
pub use products::{Product, StockLevel};
pub use refusals::{MutationError, MutationErrorCode};
pub use users::User;

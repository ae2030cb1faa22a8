//! What clients can ask. Queries read the views and nothing else.
//!
//! To add one: 1. a resolver in the noun's file, 2. a document in `tests/it/documents`, 3. `make schema`.

mod fresh;
mod nodes;
mod orders;
mod products;
mod users;

use async_graphql::MergedObject;

pub use orders::{OrderFilter, orders_of};

/// The queries. They read views that follow the mutations within moments.
#[derive(Debug, Default, MergedObject)]
pub struct Query(
    users::UserQuery,
    products::ProductQuery,
    orders::OrderQuery,
    nodes::NodeQuery,
);

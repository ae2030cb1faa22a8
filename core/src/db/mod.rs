//! The write side's tables, and the way to them. Knows no rules: those are in `domain`, and who may write which table is
//! said in `commands`.
//!
//! [`Db`] hands out transactions from a pool that never passes on a connection with an answer still on the wire. The
//! module is the noun and the function the verb: `orders::lock(conn, ids)`. To add a table: 1. a migration, 2. its
//! columns in `schema`, 3. a module here with the queries, the connection always the first argument.

mod connect;
mod error;
pub mod grants;
pub mod idempotency;
pub mod inbox;
pub mod ledger;
pub mod lock;
mod migrate;
pub mod orders;
pub mod outbox;
pub mod outbox_again;
pub mod parked;
mod parts;
mod pool;
pub mod products;
mod schema;
mod snapshot;
pub mod stock;
pub mod types;
pub mod users;

pub use connect::{connect, database_of};
pub use diesel_async::pooled_connection::deadpool::BuildError as PoolBuildError;
pub use error::StoreError;
pub use migrate::{create_database, migrate};
pub use pool::{Db, TransactionError, Work};
pub use snapshot::Snapshot;

/// A connection to MySQL.
pub type Conn = diesel_async::AsyncMysqlConnection;

//! Integration tests of the core against the real servers: `make test` starts them.

mod bus;
mod grants;
mod idempotency;
mod large_batches;
mod orders;
mod parked;
mod pool;
mod products;
mod settle;
mod stock;
mod tls;
mod users;
mod views;

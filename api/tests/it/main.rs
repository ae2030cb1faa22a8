//! Integration tests of the API: the schema by itself, and the program against the real servers, which `make test` starts.

mod away;
mod documents;
mod drops;
mod events;
mod gate;
mod greedy;
mod guards;
mod http;
mod idempotency;
mod legacy_ws;
mod order_input;
mod orders;
mod process;
mod products;
mod program;
mod proxy;
mod queries;
mod read_your_write;
mod schema;
mod seed;
mod shop;
mod socket;
mod subscriptions;
mod time_travel;
mod transport_ws;
mod users;

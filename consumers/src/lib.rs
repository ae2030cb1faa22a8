//! The programs behind the API, one module and one binary each.

pub mod order_saga;
pub mod outbox_relay;
pub mod projector;
pub mod stock_reservation;

//! Integration tests against the real servers.
mod order_saga;
mod roles;
mod stock_reservation;

//! Integration tests against the real servers.
mod consumer_loop;
mod order_saga;
mod parking;
mod projector;
mod relay;
mod relay_process;
mod roles;
mod stock_reservation;

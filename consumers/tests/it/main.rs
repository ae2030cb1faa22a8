//! Integration tests against the real servers.
mod consumer_loop;
mod ops_audit;
mod ops_process;
mod ops_republish;
mod ops_scale;
mod ops_shop;
mod ops_views;
mod order_saga;
mod parking;
mod projector;
mod relay;
mod relay_process;
mod relay_reads;
mod retention;
mod roles;
mod stock_reservation;

//! outbox_relay

//! The programs behind the API and the operator's command line, one module and one binary each.

pub mod ops;
pub mod order_saga;
pub mod outbox_relay;
pub mod projector;
pub mod stock_reservation;

use shop_core::db::Db;
use shop_core::runtime::Runtime;

/// Lets `/readyz` ask MySQL.
fn probe_mysql(runtime: &Runtime, db: &Db) {
    let db = db.clone();
    runtime.health.register("mysql", move || {
        let db = db.clone();
        async move { db.ping().await.map_err(|error| error.to_string()) }
    });
}

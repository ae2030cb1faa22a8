//! The programs behind the API and the operator's command line, one module and one binary each.

pub mod ops;
pub mod order_saga;
pub mod outbox_relay;
pub mod projector;
pub mod stock_reservation;

use shop_core::bus::HandleError;
use shop_core::commands::CommandError;
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

/// What a failed command means for the batch: either the store is away, or a record can not be handled as it is.
fn handle_error(error: CommandError, context: &'static str) -> HandleError {
    let is_away = matches!(error, CommandError::Unavailable(_));
    let error = anyhow::Error::from(error).context(context);
    if is_away {
        error.into()
    } else {
        HandleError::of_a_record(error)
    }
}

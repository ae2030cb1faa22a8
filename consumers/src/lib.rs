//! The programs behind the API and the operator's command line, one module and one binary each.

pub mod ops;
pub mod order_saga;
pub mod outbox_relay;
pub mod projector;
pub mod stock_reservation;

use shop_core::bus::{BusError, HandleError};
use shop_core::commands::CommandError;
use shop_core::db::StoreError;

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

/// Says that something failed which is tried again: a warning where a server is away, an error where the fault is ours and
/// stays until somebody looks.
fn complain(what: &str, error: &anyhow::Error) {
    if is_ours(error) {
        tracing::error!("{what}: {error:#}");
    } else {
        tracing::warn!("{what}: {error:#}");
    }
}

/// Whether it fails however often it is tried: a row that can not be read, a statement or record that is refused.
fn is_ours(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_store = cause.downcast_ref::<StoreError>();
        let of_bus = cause.downcast_ref::<BusError>();
        of_store.is_some_and(|error| !error.is_retryable())
            || of_bus.is_some_and(|error| matches!(error, BusError::Refused { .. }))
    })
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use shop_core::events::Topic;

    use super::*;

    #[test]
    fn a_fault_of_ours_is_told_from_a_server_that_is_away() {
        let corrupt = || StoreError::corrupt("status", "LOST");
        let refused = BusError::Refused {
            topic: Topic::Orders,
            key: String::new(),
            cause: anyhow!("too large"),
        };
        for ours in [
            anyhow::Error::from(corrupt()).context("failed to read the outbox"),
            CommandError::Internal(corrupt()).into(),
            anyhow::Error::from(refused).context("failed to send to Kafka"),
        ] {
            assert!(is_ours(&ours), "{ours:#}");
        }
        for theirs in [
            anyhow::Error::from(StoreError::Unavailable(anyhow!("refused")))
                .context("failed to read the outbox"),
            CommandError::Unavailable(StoreError::Unavailable(anyhow!("refused"))).into(),
            BusError::Purged.into(),
            anyhow!("lost the lock"),
        ] {
            assert!(!is_ours(&theirs), "{theirs:#}");
        }
    }
}

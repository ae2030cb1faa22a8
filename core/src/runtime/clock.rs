//! The only reader of the system clock. Rules and commands take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// The time now, in whole milliseconds. A clock set before 1970 reads as 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the legal home of the system clock"
)]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

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
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(millis.saturating_add(error_millis()))
}

/// How far this process' clock is off.
#[cfg(not(feature = "failpoints"))]
pub(super) const fn error_millis() -> i64 {
    0
}

/// How far this process' clock is off: `CLOCK_ERROR`, in seconds, of lab builds.
#[cfg(feature = "failpoints")]
pub(super) fn error_millis() -> i64 {
    use std::sync::LazyLock;

    static ERROR: LazyLock<i64> = LazyLock::new(|| {
        let Some(seconds) = super::failpoint::variable("CLOCK_ERROR") else {
            return 0;
        };
        match seconds.parse::<i32>() {
            Ok(seconds) => i64::from(seconds) * 1_000,
            Err(error) => super::failpoint::refuse("CLOCK_ERROR", &error.to_string()),
        }
    });
    *ERROR
}

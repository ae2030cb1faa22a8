//! The time of day, as the programs go by it.

use std::time::UNIX_EPOCH;

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the programs' own home of time is theirs: lab shares no code with them"
)]
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

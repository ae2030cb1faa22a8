//! Fixtures of the integration tests: a database, views and topics of a test's own, and waiting with a bound. Never used
//! outside tests.

mod bus;
mod cost;
mod db;
mod histories;
mod views;

pub use bus::TestBus;
pub use cost::Reads;
pub use db::{Session, TestDb};
pub use histories::Histories;
pub use views::TestViews;

use std::time::{Duration, Instant};

/// Where a server that tests use is; the environment overrides what `lab/engines` starts.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their servers by the environment"
)]
pub fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Asks again and again until the probe gives a value; fails after `bound` with what was waited for.
///
/// # Panics
/// When the bound has passed.
pub async fn eventually<T>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(
            started.elapsed() < bound,
            "waited {bound:?} in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! The wish to stop, seen by every part of a program.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// A switch that goes from "run" to "stop" once. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A switch of its own, not yet thrown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends when somebody asks to stop, at once if that has happened. Safe to drop and ask again.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Ends some time after somebody asks to stop, by chance and no later than `most` after it: so that not everybody who
    /// waits here goes at once.
    pub async fn turn(&self, most: Duration) {
        self.requested().await;
        tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
    }

    /// Whether somebody asked to stop.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks every holder, and every child, to stop. Asking twice is the same as once.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// A switch that this one throws too, and that leaves this one alone when it is thrown itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_clones_and_children() {
        let shutdown = Shutdown::new();
        let (clone, child) = (shutdown.clone(), shutdown.child());
        assert!(!clone.is_requested());
        shutdown.request();
        shutdown.request();
        clone.requested().await;
        child.requested().await;
        assert!(child.is_requested());
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_spread_over_the_time_that_there_is() {
        let most = Duration::from_secs(10);
        let shutdown = Shutdown::new();
        let waiting = (0..100).map(|_| async {
            shutdown.turn(most).await;
            tokio::time::Instant::now()
        });
        let begun = tokio::time::Instant::now();
        shutdown.request();
        let turns = futures::future::join_all(waiting).await;
        let parts: std::collections::BTreeSet<u64> = turns
            .iter()
            .map(|turn| turn.duration_since(begun).as_secs())
            .collect();
        assert!(
            turns
                .iter()
                .all(|turn| *turn <= begun + most + Duration::from_millis(1))
        );
        assert!(parts.len() >= 8, "{parts:?}"); // of ten; 2e-8 of all runs have fewer
        shutdown.turn(Duration::ZERO).await;
    }

    #[test]
    fn a_child_stops_alone() {
        let shutdown = Shutdown::new();
        shutdown.child().request();
        assert!(!shutdown.is_requested());
    }
}

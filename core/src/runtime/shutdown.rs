//! The wish to stop, seen by every part of a program.

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

    #[test]
    fn a_child_stops_alone() {
        let shutdown = Shutdown::new();
        shutdown.child().request();
        assert!(!shutdown.is_requested());
    }
}

//! What is the same in every process: settings, logs, metrics, health, shutdown, the clock and new ids.
//!
//! Owns the environment, the system clock, randomness and the process' life from arguments to exit code; `clippy.toml`
//! keeps them here. Knows no store, no topic's meaning and no role. A program is one line, [`main`]. To add a
//! program: 1. a variant of [`Program`] with its name and address, 2. the readers of its settings in `config/table.rs`, 3. its
//! binary.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod failpoint;
pub mod guard;
pub mod health;
mod healthcheck;
pub mod ids;
pub mod metrics;
pub mod network;
pub mod open_files;
mod process;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

use std::fmt;
use std::sync::Arc;

pub use backoff::Backoff;
pub use config::ConfigErrors;
pub use health::Health;
pub use healthcheck::healthcheck;
pub use process::main;
pub use settings::Settings;
pub use shutdown::Shutdown;

/// The exit code after a bad setting or argument (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// The exit code after an error, or when draining took longer than `SHUTDOWN_GRACE`.
pub const EXIT_FAILURE: u8 = 1;
/// The exit code after a second signal.
pub const EXIT_SIGNAL: u8 = 130;

/// A program by its name: the word for its binary, its consumer group, its compose service and the logs' `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// GraphQL over HTTP and WebSocket.
    Api,
    /// Sends the outbox to Kafka.
    OutboxRelay,
    /// Holds, releases and ships stock.
    StockReservation,
    /// Confirms, rejects and expires orders.
    OrderSaga,
    /// Writes the views.
    Projector,
    /// The operator's command line; does not stay.
    Ops,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Api,
        Self::OutboxRelay,
        Self::StockReservation,
        Self::OrderSaga,
        Self::Projector,
        Self::Ops,
    ];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::OutboxRelay => "outbox-relay",
            Self::StockReservation => "stock-reservation",
            Self::OrderSaga => "order-saga",
            Self::Projector => "projector",
            Self::Ops => "ops",
        }
    }

    /// Where the program answers `/healthz` when `HEALTH_ADDR` does not say; `None` for the command line, which nobody asks.
    pub const fn health_addr(self) -> Option<&'static str> {
        match self {
            Self::Ops => None,
            Self::Api => Some("127.0.0.1:4005"),
            Self::OutboxRelay => Some("127.0.0.1:4001"),
            Self::StockReservation => Some("127.0.0.1:4002"),
            Self::OrderSaga => Some("127.0.0.1:4003"),
            Self::Projector => Some("127.0.0.1:4004"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a program gets from its process. Clones share everything.
#[derive(Clone)]
pub struct Runtime {
    /// Which program this is.
    pub program: Program,
    /// Its settings, checked.
    pub settings: Arc<Settings>,
    /// The wish to stop: a program that sees it finishes what it has in hand and returns.
    pub shutdown: Shutdown,
    /// Where it registers what it depends on.
    pub health: Health,
}

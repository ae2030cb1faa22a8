//! What scenarios share: a catalogue, clients at work, a reader, the line on the screen, and what they find.
//!
//! Used by the demo, the runs of `live` and the fault suite. Knows none of them: a scenario says how its programs run and asks for
//! its own check.

pub mod catalogue;
pub mod figures;
pub mod keeper;
pub mod load;
pub mod progress;
pub mod reader;
pub mod run;
pub mod shop;

pub use catalogue::Catalogue;
pub use figures::Figures;
pub use keeper::Keeper;
pub use load::Load;
pub use progress::Progress;
pub use reader::Reader;
pub use run::Run;
pub use shop::in_a_shop;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for a signal that asks to stop, and says which.
pub async fn interrupted() -> &'static str {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => "SIGINT",
        () = wait(SignalKind::terminate()) => "SIGTERM",
        () = wait(SignalKind::hangup()) => "SIGHUP",
    }
}

//! `ops dlq`: records that could not be handled, key by key and in order.

use clap::Subcommand;

use super::{Desk, OpsError};

/// What to do about records that could not be handled.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Lists the keys that wait, with what keeps them
    List,
}

impl Verb {
    pub(super) async fn run(self, _desk: &Desk) -> Result<(), OpsError> {
        match self {
            Self::List => Err(OpsError::refused("not built yet")),
        }
    }
}

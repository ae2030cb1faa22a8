//! `ops dlq`: records that could not be handled, key by key and in order.
//!
//! A key is named as it is (`0199…`, or as the API shows it, `order_0199…`; `0x…` for one that is no text), or by the place of one of its
//! records, `topic/partition/offset`. What is changed here is noticed by the consumer within a second, or when it is started.

mod drop;
mod list;
mod redrive;
mod select;
mod show;

use clap::Subcommand;

use super::{Desk, OpsError};

/// What to do about records that could not be handled.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Lists the keys that are closed, and by what
    List(list::List),
    /// Shows the records of a key, in order, with what is in them
    Show(show::Show),
    /// Opens a key: its first record is tried again now, then what waits behind it, in order
    Redrive(redrive::Redrive),
    /// Drops the first record of a key, so that what waits behind it is handled
    Drop(drop::Drop),
}

impl Verb {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        match self {
            Self::List(list) => list.run(desk).await,
            Self::Show(show) => show.run(desk).await,
            Self::Redrive(redrive) => redrive.run(desk).await,
            Self::Drop(drop) => drop.run(desk).await,
        }
    }
}

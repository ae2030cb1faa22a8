//! `ops dlq drop`.

use shop_core::db::parked::State;
use shop_core::db::parked::operator::{ParkedKey, drop_records};

use super::select::{Selection, count, place, status, word};
use crate::ops::{Desk, OpsError};

/// The arguments of `drop`.
#[derive(Debug, clap::Args)]
pub struct Drop {
    #[command(flatten)]
    selection: Selection,
    /// Drops every record of the key, also those that only wait
    #[arg(long)]
    all: bool,
}

impl Drop {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let keys = self.selection.find(desk).await?;
        for key in &keys {
            self.check(key)?;
        }
        for key in keys {
            let whose = format!("of key {} for {}", word(key.key.as_deref()), key.consumer);
            let which = if self.all {
                format!("{} {whose}", count(key.records))
            } else {
                let cause = key.cause.as_deref().unwrap_or("its turn has come");
                format!("record {} {whose} ({cause})", place(key.head))
            };
            if !desk.consent.to_destroy(&format!("drop {which}"))? {
                continue;
            }
            let dropped = desk
                .db
                .transaction("ops_dlq", async |tx| drop_records(tx, &key, self.all).await);
            match dropped.await? {
                0 => println!("{which}: not parked any more"),
                _ => println!("dropped {which}"),
            }
        }
        Ok(())
    }

    /// Repeating a drop must not drop another record: one that is not dead yet has to be named by its place.
    fn check(&self, key: &ParkedKey) -> Result<(), OpsError> {
        let name = word(key.key.as_deref());
        let head = place(key.head);
        match self.selection.record() {
            _ if self.all => Ok(()),
            Some(record) if record == key.head => Ok(()),
            Some(record) => Err(OpsError::refused(format!(
                "record {} waits behind {head}, which comes first (--all drops the whole key)",
                place(record)
            ))),
            None if key.state == State::Dead => Ok(()),
            None => Err(OpsError::refused(format!(
                "record {head} of key {name} is no dead letter ({}); name it by its place to drop it all the same",
                status(key.state, key.tries, key.next_try_at)
            ))),
        }
    }
}

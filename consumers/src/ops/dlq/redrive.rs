//! `ops dlq redrive`.

use shop_core::db::parked::State;
use shop_core::db::parked::operator::redrive;

use super::select::{Selection, count, word};
use crate::ops::{Desk, OpsError};

/// The arguments of `redrive`.
#[derive(Debug, clap::Args)]
pub struct Redrive {
    #[command(flatten)]
    selection: Selection,
}

impl Redrive {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        for key in self.selection.find(desk).await? {
            let whose = format!("of key {} for {}", word(key.key.as_deref()), key.consumer);
            let what = format!("try {} {whose} again, in order", count(key.records));
            if !desk.consent.to_change(&what) {
                continue;
            }
            let redriven = desk
                .db
                .transaction("ops_dlq", async |tx| redrive(tx, &key).await);
            let redriven = redriven.await?;
            if redriven == 0 && key.state != State::Behind {
                println!("nothing {whose} is parked any more");
            } else {
                println!("trying {} {whose} again, in order", count(key.records));
            }
        }
        Ok(())
    }
}

//! `ops dlq list`.

use shop_core::db::parked::operator::Filter;

use super::select::{MOST_KEYS, count, find, place, status, word};
use crate::ops::{Desk, OpsError};

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only what this consumer could not handle
    #[arg(long)]
    consumer: Option<String>,
}

impl List {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let filter = Filter {
            consumer: self.consumer,
            ..Filter::default()
        };
        let keys = find(desk, &filter).await?;
        if keys.is_empty() {
            println!("nothing is parked");
        }
        for key in &keys {
            println!(
                "{}  {}  {}  {}  {}: {}",
                key.consumer,
                word(key.key.as_deref()),
                place(key.head),
                count(key.records),
                status(key.state, key.tries, key.next_try_at),
                key.cause.as_deref().unwrap_or("its turn has come"),
            );
        }
        if keys.len() == MOST_KEYS {
            println!("… these are the first {MOST_KEYS}");
        }
        Ok(())
    }
}

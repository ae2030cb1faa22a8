//! The programs and their clients, cut into steps. Each step says whether it did anything.
//!
//! To add one: 1. a file here with `step` and `crash`, 2. its place in [`World`](crate::world::World).

pub mod browser;
pub mod projector;
pub mod relay;
pub mod shopper;
pub mod writer;

use crate::shop::Shop;
use crate::shop::mysql::Transaction;

/// Commits, and looks at what must hold at every commit. Tells whether it was committed.
fn commit(shop: &mut Shop, who: &str, transaction: Transaction) -> bool {
    let now = shop.clock;
    let committed = shop.mysql.commit(transaction, now).is_ok();
    shop.note(|| {
        format!(
            "{who} {}",
            if committed {
                "commits"
            } else {
                "meets a duplicate key, rolls back"
            }
        )
    });
    if committed {
        crate::check::at_commit(shop);
    }
    committed
}

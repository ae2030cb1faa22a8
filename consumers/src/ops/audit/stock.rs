//! Invariant 3: stock is what its ledger and its holds add up to. Pure.

use std::collections::BTreeMap;

use shop_core::db::ledger::Sums;
use shop_core::domain::{ProductId, StockLevel};

use super::Violation;

/// Levels beside their sums; what was judged is taken out of `sums`.
pub fn judge(
    levels: &[StockLevel],
    sums: &mut BTreeMap<ProductId, Sums>,
    violations: &mut Vec<Violation>,
) {
    for level in levels {
        let sums = sums.remove(&level.product_id).unwrap_or_default();
        let mut say = |problem: String| {
            violations.push(Violation::new(3, level.product_id, problem));
        };
        let (on_hand, reserved) = (i64::from(level.on_hand), i64::from(level.reserved));
        if on_hand != sums.on_hand {
            say(format!(
                "{on_hand} on hand, the ledger adds up to {}",
                sums.on_hand
            ));
        }
        if reserved != sums.reserved {
            say(format!(
                "{reserved} reserved, the ledger adds up to {}",
                sums.reserved
            ));
        }
        if reserved != sums.held {
            say(format!(
                "{reserved} reserved, {} held for orders",
                sums.held
            ));
        }
        if reserved > on_hand {
            say(format!("{reserved} reserved of {on_hand} on hand"));
        }
    }
}

/// What moved or is held of products that have no stock.
pub fn judge_rest(sums: BTreeMap<ProductId, Sums>, violations: &mut Vec<Violation>) {
    for (product, _) in sums {
        let problem = "units moved or are held, but it has no stock";
        violations.push(Violation::new(3, product, problem));
    }
}

//! Invariant 6 in the rows: an order's timeline has each version once, and never goes back in time.

use super::{list, number};
use crate::check::evidence::Kind;
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for (id, order) in evidence.write.all(Kind::Order) {
        let mut say = |problem: String| {
            violations.push(Violation::new(6, Kind::Order.id(id), problem));
        };
        let timeline = list(&order.state, "timeline");
        let versions: Vec<i64> = timeline.iter().map(|e| number(e, "version")).collect();
        if !versions.iter().copied().eq(1..=i64::from(order.version)) {
            say(format!(
                "is at version {}, its timeline has {versions:?}",
                order.version
            ));
        }
        for pair in timeline.windows(2) {
            if number(&pair[1], "at") < number(&pair[0], "at") {
                let version = number(&pair[1], "version");
                say(format!("version {version} is older than the one before it"));
            }
        }
    }
}

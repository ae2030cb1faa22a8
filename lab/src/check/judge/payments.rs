//! Invariant 5: at most one payment per order that is not to be given back, and money is never lost.

use super::{list, status, text};
use crate::check::evidence::Kind;
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for (id, order) in evidence.write.all(Kind::Order) {
        let payments = list(&order.state, "payments");
        let kept: Vec<_> = payments
            .iter()
            .filter(|paid| paid["refund_due_version"].is_null())
            .collect();
        let references: Vec<&str> = kept.iter().map(|paid| text(paid, "reference")).collect();
        let status = status(order);
        let problem = match (status, kept.len()) {
            (_, 2..) => Some(format!(
                "has {} payments that are not refund due: {references:?}",
                kept.len()
            )),
            ("PAID" | "PROCESSING" | "SHIPPED" | "DELIVERED", 0) => {
                Some(format!("is {status} without a payment"))
            }
            ("PENDING" | "CONFIRMED" | "REJECTED" | "CANCELED", 1) => Some(format!(
                "is {status}, and the refund of {references:?} is not due"
            )),
            _ => None,
        };
        let wrong_amount = kept
            .iter()
            .find(|paid| paid["amount"] != order.state["total"]);
        let amount = wrong_amount.map(|paid| {
            format!(
                "costs {}, paid was {}",
                order.state["total"], paid["amount"]
            )
        });
        for problem in problem.into_iter().chain(amount) {
            violations.push(Violation::new(5, Kind::Order.id(id), problem));
        }
    }
}

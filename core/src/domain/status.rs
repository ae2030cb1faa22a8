//! The status of an order: which exist, and which may follow which. Commands, the API's `nextStatuses`, the diagram in
//! the docs and the property test all read [`TRANSITIONS`].

use std::fmt;
use std::str::FromStr;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Placed; its stock is being reserved.
    Pending,
    /// All of its stock is held; it waits for payment.
    Confirmed,
    /// Its stock was short or a product was gone; nothing is held.
    Rejected,
    /// A payment is recorded.
    Paid,
    /// Being picked and packed.
    Processing,
    /// On its way; its stock has left.
    Shipped,
    /// With the customer.
    Delivered,
    /// Called off before it was shipped; its stock is back.
    Canceled,
}

/// What moves an order from one status to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The decision of stock-reservation, carried out by order-saga.
    Reservation,
    /// The mutation `payOrder`.
    Payment,
    /// The mutation `updateOrderStatus`.
    Fulfilment,
    /// The mutation `cancelOrder`, or order-saga when the payment time has run out.
    Cancellation,
}

/// One permitted step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The status before.
    pub from: OrderStatus,
    /// The status after.
    pub to: OrderStatus,
    /// What brings it about.
    pub by: Trigger,
}

const fn step(from: OrderStatus, to: OrderStatus, by: Trigger) -> Transition {
    Transition { from, to, by }
}

use OrderStatus::{Canceled, Confirmed, Delivered, Paid, Pending, Processing, Rejected, Shipped};

/// Every permitted step; whatever is not listed is refused.
pub const TRANSITIONS: &[Transition] = &[
    step(Pending, Confirmed, Trigger::Reservation),
    step(Pending, Rejected, Trigger::Reservation),
    step(Confirmed, Paid, Trigger::Payment),
    step(Paid, Processing, Trigger::Fulfilment),
    step(Processing, Shipped, Trigger::Fulfilment),
    step(Shipped, Delivered, Trigger::Fulfilment),
    step(Pending, Canceled, Trigger::Cancellation),
    step(Confirmed, Canceled, Trigger::Cancellation),
    step(Paid, Canceled, Trigger::Cancellation),
    step(Processing, Canceled, Trigger::Cancellation),
];

impl OrderStatus {
    /// All of them, in the order of an undisturbed life, ends last.
    pub const ALL: [Self; 8] = [
        Pending, Confirmed, Paid, Processing, Shipped, Delivered, Rejected, Canceled,
    ];

    /// The statuses that may come next, whatever the trigger.
    pub fn next(self) -> impl Iterator<Item = Self> {
        TRANSITIONS
            .iter()
            .filter(move |step| step.from == self)
            .map(|step| step.to)
    }

    /// Whether the trigger may move an order from here to there.
    pub fn may_become(self, to: Self, by: Trigger) -> bool {
        TRANSITIONS.contains(&Transition { from: self, to, by })
    }

    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        self.next().next().is_none()
    }

    /// The word that tables, events and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pending => "PENDING",
            Confirmed => "CONFIRMED",
            Rejected => "REJECTED",
            Paid => "PAID",
            Processing => "PROCESSING",
            Shipped => "SHIPPED",
            Delivered => "DELIVERED",
            Canceled => "CANCELED",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown order status {0:?}")]
pub struct UnknownStatus(pub String);

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn rejected_canceled_and_delivered_are_final_and_no_other() {
        let finals: Vec<_> = OrderStatus::ALL
            .into_iter()
            .filter(|s| s.is_final())
            .collect();
        assert_eq!(finals, [Delivered, Rejected, Canceled]);
    }

    #[test]
    fn every_status_can_be_reached_from_pending() {
        let mut reached = vec![Pending];
        let mut seen = 0;
        while seen < reached.len() {
            for next in reached[seen].next() {
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
            seen += 1;
        }
        assert_eq!(reached.len(), OrderStatus::ALL.len());
    }

    #[test]
    fn a_status_reads_back_from_its_word() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    /// The table as a Mermaid state diagram.
    fn diagram() -> String {
        let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> PENDING\n");
        for step in TRANSITIONS {
            let _ = writeln!(text, "    {} --> {}: {:?}", step.from, step.to, step.by);
        }
        for last in OrderStatus::ALL.into_iter().filter(|s| s.is_final()) {
            let _ = writeln!(text, "    {last} --> [*]");
        }
        text + "```\n"
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "UPDATE is for whoever runs the tests, and no setting of a program"
    )]
    fn the_diagram_in_the_docs_is_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ARCHITECTURE.md");
        let page = std::fs::read_to_string(path).unwrap();
        let start = page.find("```mermaid\n").expect("the page has a diagram");
        let length = page[start..].find("\n```\n").expect("the diagram ends") + 5;
        if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
            let page = format!("{}{}{}", &page[..start], diagram(), &page[start + length..]);
            std::fs::write(path, page).unwrap();
            return;
        }
        assert!(
            page[start..start + length] == diagram(),
            "out of date: run UPDATE=1 cargo test -p shop-core domain::status"
        );
    }
}

//! An order: what was bought at which price, where it stands, and how it got there.

mod item;
mod payment;
mod placing;
#[cfg(test)]
mod tests;
mod timeline;

pub use item::{OrderItem, Shortage};
pub use payment::{NewPayment, Payment, PaymentOutcome};
pub use placing::{NewLine, check_lines};
pub use timeline::{Actor, TimelineEntry};

use super::limits::ORDER_PAYMENTS;
use super::refusal::{Refusal, path};
use super::status::{OrderStatus, TRANSITIONS, Trigger};
use super::{Money, OrderId, Timestamp, UserId, Version};

/// An order as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which order.
    pub id: OrderId,
    /// The number of changes so far; equals the number of [`TimelineEntry`]s.
    pub version: Version,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who bought.
    pub customer_id: UserId,
    /// The customer's name when the order was placed; empty once deleted.
    pub customer_name: String,
    /// What was bought, in the order the customer gave.
    pub items: Vec<OrderItem>,
    /// The sum of all lines.
    pub total: Money,
    /// Payments that were recorded for it, oldest first.
    pub payments: Vec<Payment>,
    /// Why it was rejected: what was short. Empty unless REJECTED.
    pub shortages: Vec<Shortage>,
    /// One entry per version, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When this version came to be.
    pub updated_at: Timestamp,
    /// Whether it was deleted. The customer's name is gone then; the rest stays, as a record of a sale that views no longer show.
    pub deleted: bool,
}

impl Order {
    /// All of the stock is held: PENDING becomes CONFIRMED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn confirm(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let reason = "stock reserved".to_owned();
        self.step(
            now,
            OrderStatus::Confirmed,
            Trigger::Reservation,
            Actor::System,
            Some(reason),
        )
    }

    /// The stock was short: PENDING becomes REJECTED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn reject(&mut self, now: Timestamp, shortages: Vec<Shortage>) -> Result<(), Refusal> {
        let reason = "stock short".to_owned();
        self.step(
            now,
            OrderStatus::Rejected,
            Trigger::Reservation,
            Actor::System,
            Some(reason),
        )?;
        self.shortages = shortages;
        Ok(())
    }

    /// Records a payment of the whole total: CONFIRMED becomes PAID. A CANCELED order stays canceled, and the payment is
    /// recorded as refund due; the answer says which of the two happened.
    ///
    /// # Errors
    /// [`Refusal::AlreadyPaid`], [`Refusal::TooManyPayments`], [`Refusal::IllegalTransition`]. Nothing is recorded then.
    pub fn pay(&mut self, now: Timestamp, payment: NewPayment) -> Result<PaymentOutcome, Refusal> {
        let too_late = self.status == OrderStatus::Canceled;
        let paid = self
            .payments
            .iter()
            .any(|payment| payment.refund_due_version.is_none());
        if paid && !too_late {
            return Err(Refusal::AlreadyPaid { order: self.id });
        }
        if self.payments.len() >= ORDER_PAYMENTS {
            return Err(Refusal::TooManyPayments {
                order: self.id,
                limit: ORDER_PAYMENTS,
            });
        }
        if too_late {
            let reason = "payment recorded after the cancellation; refund due".to_owned();
            self.note(now, Actor::Customer, reason);
        } else {
            self.step(
                now,
                OrderStatus::Paid,
                Trigger::Payment,
                Actor::Customer,
                None,
            )?;
        }
        self.payments.push(Payment {
            method: payment.method,
            reference: payment.reference,
            amount: self.total,
            recorded_at: self.updated_at,
            recorded_version: self.version,
            refund_due_version: too_late.then_some(self.version),
        });
        Ok(if too_late {
            PaymentOutcome::RefundDue
        } else {
            PaymentOutcome::Paid
        })
    }

    /// Calls the order off; a recorded payment's refund becomes due.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`] once it is shipped or final.
    pub fn cancel(
        &mut self,
        now: Timestamp,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        self.step(
            now,
            OrderStatus::Canceled,
            Trigger::Cancellation,
            actor,
            reason,
        )?;
        for payment in &mut self.payments {
            payment.refund_due_version.get_or_insert(self.version);
        }
        Ok(())
    }

    /// Moves a paid order along: PROCESSING, SHIPPED, DELIVERED.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`].
    pub fn advance(&mut self, now: Timestamp, to: OrderStatus) -> Result<(), Refusal> {
        self.step(now, to, Trigger::Fulfilment, Actor::Staff, None)
            .map_err(|refusal| match refusal {
                Refusal::IllegalTransition {
                    from,
                    to,
                    by_other_means,
                    ..
                } => Refusal::IllegalTransition {
                    path: path([&"status"]),
                    from,
                    to,
                    by_other_means,
                },
                other => other,
            })
    }

    /// Deletes a final order and scrubs what is personal.
    ///
    /// # Errors
    /// [`Refusal::OrderOpen`].
    pub fn delete(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if !self.status.is_final() {
            return Err(Refusal::OrderOpen {
                order: self.id,
                status: self.status,
            });
        }
        self.note(now, Actor::Staff, "deleted".to_owned());
        self.customer_name.clear();
        self.deleted = true;
        Ok(())
    }

    fn step(
        &mut self,
        now: Timestamp,
        to: OrderStatus,
        by: Trigger,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        if !self.status.may_become(to, by) {
            return Err(Refusal::IllegalTransition {
                path: Vec::new(),
                from: self.status,
                to,
                by_other_means: other_means(self.status, to),
            });
        }
        self.record(now, to, actor, reason);
        Ok(())
    }

    /// A change that leaves the status as it is.
    fn note(&mut self, now: Timestamp, actor: Actor, reason: String) {
        self.record(now, self.status, actor, Some(reason));
    }

    fn record(&mut self, now: Timestamp, to: OrderStatus, actor: Actor, reason: Option<String>) {
        let at = self.updated_at.max(now);
        self.version += 1;
        self.timeline.push(TimelineEntry {
            version: self.version,
            from: Some(self.status),
            to,
            reason,
            actor,
            at,
        });
        self.status = to;
        self.updated_at = at;
    }
}

/// Says which door leads to a status, if it is another than the one that was knocked at.
fn other_means(from: OrderStatus, to: OrderStatus) -> Option<&'static str> {
    let step = TRANSITIONS
        .iter()
        .find(|step| step.from == from && step.to == to)?;
    Some(match step.by {
        Trigger::Reservation => " by hand: it follows from the stock",
        Trigger::Payment => " this way: use payOrder",
        Trigger::Fulfilment => " this way: use updateOrderStatus",
        Trigger::Cancellation => " this way: use cancelOrder",
    })
}

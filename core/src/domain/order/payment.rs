//! Payments of an order.

use crate::domain::{Money, Timestamp, Version};

/// A payment that happened elsewhere and was recorded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// How it was paid, in the words of the payment provider: `card`, `invoice`.
    pub method: String,
    /// The provider's reference, unique among all payments.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The order's version that recorded it.
    pub recorded_version: Version,
    /// The order's version that made its refund due, if that happened.
    pub refund_due_version: Option<Version>,
}

/// A payment as somebody reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// How it was paid.
    pub method: String,
    /// The provider's reference.
    pub reference: String,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// The order is PAID.
    Paid,
    /// The order was canceled before; the payment is recorded and has to be given back.
    RefundDue,
}

//! Recording a payment that happened elsewhere.

use super::{change_order, reached};
use crate::commands::once::{self, Request};
use crate::commands::{Call, CommandError};
use crate::db::{Db, StoreError};
use crate::domain::limits::REFERENCE_CHARS;
use crate::domain::order::{NewPayment, PaymentOutcome};
use crate::domain::refusal::path;
use crate::domain::user::valid_text;
use crate::domain::{Order, OrderId, Refusal};

/// A payment to be recorded.
#[derive(Debug, Clone)]
pub struct PayOrder {
    /// Of which order.
    pub order_id: OrderId,
    /// The payment.
    pub payment: NewPayment,
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidOrder {
    /// The order after it.
    pub order: Order,
    /// Whether the order is paid, or the payment has to be given back.
    pub outcome: PaymentOutcome,
}

/// Records the payment of an order's whole total.
///
/// Effects: inserts `payments`, updates `orders`, `order_transitions`; appends `order.paid`, or `order.canceled` when the
/// order was canceled before: then the payment is recorded as refund due, and the outcome says so.
/// Refusals: `NotFound`, `Invalid`, `AlreadyPaid`, `PaymentReferenceUsed`, `IllegalTransition`, `VersionMismatch`; those of
/// the key.
pub async fn pay_order(db: &Db, call: &Call, cmd: PayOrder) -> Result<PaidOrder, CommandError> {
    let payment = NewPayment {
        method: valid_text(path([&"method"]), &cmd.payment.method, REFERENCE_CHARS)?,
        reference: valid_text(
            path([&"reference"]),
            &cmd.payment.reference,
            REFERENCE_CHARS,
        )?,
    };
    let request = Request::new("payOrder")
        .with("orderId", cmd.order_id)
        .with("method", &payment.method)
        .with("reference", &payment.reference);
    db.transaction("pay_order", async |tx| {
        if let Some(answered) = once::answered::<PaidOrder>(tx, call, &request).await? {
            reached(call, &answered.order)?;
            return Ok(answered);
        }
        let changed = change_order(db, call, tx, cmd.order_id, |order| {
            order.pay(call.at, payment.clone())
        });
        let (order, outcome) = changed.await.map_err(reference_in_use)?;
        once::keep(tx, call, PaidOrder { order, outcome }).await
    })
    .await
}

/// The only unique value that a payment can meet twice is its reference: the order itself is locked.
fn reference_in_use(error: CommandError) -> CommandError {
    match error {
        CommandError::Internal(StoreError::Duplicate(_)) => Refusal::PaymentReferenceUsed {
            path: path([&"reference"]),
        }
        .into(),
        other => other,
    }
}

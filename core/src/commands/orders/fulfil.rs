//! Moving an order along, calling it off, deleting it.

use super::{change_order, reached};
use crate::commands::once::{self, Request};
use crate::commands::{Call, CommandError};
use crate::db::Db;
use crate::domain::limits::REASON_CHARS;
use crate::domain::order::Actor;
use crate::domain::refusal::path;
use crate::domain::user::valid_text;
use crate::domain::{Order, OrderId, OrderStatus, Refusal};

/// An order to be called off.
#[derive(Debug, Clone)]
pub struct CancelOrder {
    /// Which order.
    pub order_id: OrderId,
    /// Who calls it off.
    pub actor: Actor,
    /// Why, in words.
    pub reason: Option<String>,
}

/// A step of an order's fulfilment.
#[derive(Debug, Clone, Copy)]
pub struct UpdateOrderStatus {
    /// Which order.
    pub order_id: OrderId,
    /// PROCESSING, SHIPPED or DELIVERED.
    pub status: OrderStatus,
}

/// Calls an order off before it is shipped; a recorded payment's refund becomes due.
///
/// Effects: updates `orders`, `payments`, inserts `order_transitions`; appends `order.canceled`. The stock comes back
/// when stock-reservation reads that.
/// Refusals: `NotFound`, `Invalid`, `IllegalTransition`, `VersionMismatch`; those of the key.
pub async fn cancel_order(db: &Db, call: &Call, cmd: CancelOrder) -> Result<Order, CommandError> {
    let reason = match cmd.reason.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(text) => Some(valid_text(path([&"reason"]), text, REASON_CHARS)?),
    };
    let request = Request::new("cancelOrder")
        .with("orderId", cmd.order_id)
        .with("actor", cmd.actor.as_str())
        .with_some("reason", reason.as_ref());
    db.transaction("cancel_order", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            reached(call, &answered)?;
            return Ok(answered);
        }
        let rule = |order: &mut Order| order.cancel(call.at, cmd.actor, reason.clone());
        let (order, ()) = change_order(db, call, tx, cmd.order_id, rule).await?;
        once::keep(tx, call, order).await
    })
    .await
}

/// Moves a paid order along.
///
/// Effects: updates `orders`, inserts `order_transitions`; appends `order.processing`, `.shipped` or `.delivered`.
/// Refusals: `NotFound`, `IllegalTransition`, `VersionMismatch`; those of the key.
pub async fn update_order_status(
    db: &Db,
    call: &Call,
    cmd: UpdateOrderStatus,
) -> Result<Order, CommandError> {
    let request = Request::new("updateOrderStatus")
        .with("orderId", cmd.order_id)
        .with("status", cmd.status);
    db.transaction("update_order_status", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let rule = |order: &mut Order| order.advance(call.at, cmd.status);
        let (order, ()) = change_order(db, call, tx, cmd.order_id, rule).await?;
        once::keep(tx, call, order).await
    })
    .await
}

/// Deletes a final order and scrubs the customer's name.
///
/// Effects: updates `orders`, inserts `order_transitions`; appends `order.deleted`.
/// Refusals: `NotFound`, `OrderOpen`, `VersionMismatch`; those of the key.
pub async fn delete_order(db: &Db, call: &Call, id: OrderId) -> Result<Order, CommandError> {
    let request = Request::new("deleteOrder").with("orderId", id);
    db.transaction("delete_order", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let rule = |order: &mut Order| -> Result<(), Refusal> { order.delete(call.at) };
        let (order, ()) = change_order(db, call, tx, id, rule).await?;
        once::keep(tx, call, order).await
    })
    .await
}

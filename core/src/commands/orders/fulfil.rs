//! Moving an order along, calling it off, deleting it.

use super::change_order;
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
/// Refusals: `NotFound`, `Invalid`, `IllegalTransition`.
pub async fn cancel_order(db: &Db, call: &Call, cmd: CancelOrder) -> Result<Order, CommandError> {
    let reason = match cmd.reason.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(text) => Some(valid_text(path([&"reason"]), text, REASON_CHARS)?),
    };
    db.transaction("cancel_order", async |tx| {
        let rule = |order: &mut Order| order.cancel(call.at, cmd.actor, reason.clone());
        Ok(change_order(db, call, tx, cmd.order_id, rule).await?.0)
    })
    .await
}

/// Moves a paid order along.
///
/// Effects: updates `orders`, inserts `order_transitions`; appends `order.processing`, `.shipped` or `.delivered`.
/// Refusals: `NotFound`, `IllegalTransition`.
pub async fn update_order_status(
    db: &Db,
    call: &Call,
    cmd: UpdateOrderStatus,
) -> Result<Order, CommandError> {
    db.transaction("update_order_status", async |tx| {
        let rule = |order: &mut Order| order.advance(call.at, cmd.status);
        Ok(change_order(db, call, tx, cmd.order_id, rule).await?.0)
    })
    .await
}

/// Deletes a final order and scrubs the customer's name.
///
/// Effects: updates `orders`, inserts `order_transitions`; appends `order.deleted`.
/// Refusals: `NotFound`, `OrderOpen`.
pub async fn delete_order(db: &Db, call: &Call, id: OrderId) -> Result<Order, CommandError> {
    db.transaction("delete_order", async |tx| {
        let rule = |order: &mut Order| -> Result<(), Refusal> { order.delete(call.at) };
        Ok(change_order(db, call, tx, id, rule).await?.0)
    })
    .await
}

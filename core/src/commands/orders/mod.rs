//! Tables `orders`, `order_items`, `order_transitions` and `payments`: one file per command, and `settle` for what
//! order-saga does to batches of orders.

mod create;
mod fulfil;
mod pay;
mod settle;

pub use create::{CreateOrder, create_order};
pub use fulfil::{CancelOrder, UpdateOrderStatus, cancel_order, delete_order, update_order_status};
pub use pay::{PaidOrder, PayOrder, pay_order};
pub use settle::{
    Decided, Settled, StockVerdict, VerdictRecord, cancel_unpaid, orders_of, settle_verdicts,
};

use super::{Call, CommandError};
use crate::db::orders::Changed;
use crate::db::{Conn, Db, orders, outbox};
use crate::domain::refusal::{Entity, path};
use crate::domain::{Order, OrderId, Refusal};
use crate::events::{Event, EventType, Payload};

/// Locks an order, changes it by a rule, saves it and announces the change. Refuses an order that is not of the call's version;
/// one beyond its scope is not found.
async fn change_order<T>(
    db: &Db,
    call: &Call,
    tx: &mut Conn,
    id: OrderId,
    rule: impl FnOnce(&mut Order) -> Result<T, Refusal>,
) -> Result<(Order, T), CommandError> {
    let entity = Entity::Order(id);
    let mut order = orders::lock_within(tx, id, call.scope)
        .await?
        .ok_or_else(|| Refusal::NotFound {
            path: path([&"orderId"]),
            entity,
        })?;
    let from_version = order.version;
    call.check_version(from_version)?;
    let outcome = rule(&mut order)?;
    let event = announce(call, &order);
    let changed = Changed {
        from_version,
        order,
    };
    orders::save_many(tx, std::slice::from_ref(&changed)).await?;
    outbox::append(tx, db.encoding(), &[event]).await?;
    Ok((changed.order, outcome))
}

/// Refuses what was answered about an order that is beyond the scope by now.
fn reached(call: &Call, order: &Order) -> Result<(), Refusal> {
    if call.scope.has_order(order) {
        return Ok(());
    }
    Err(Refusal::NotFound {
        path: path([&"orderId"]),
        entity: Entity::Order(order.id),
    })
}

/// The event of an order's newest version. Pure, but for its id.
pub fn announce(call: &Call, order: &Order) -> Event {
    let kind = if order.deleted {
        EventType::OrderDeleted
    } else {
        EventType::from(order.status)
    };
    call.event(kind, Payload::Order(Box::new(order.clone())))
}

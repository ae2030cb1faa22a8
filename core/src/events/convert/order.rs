//! Orders and all that belongs to them.

use super::{bad, convert, money, timestamp, uuid};
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::{Order, OrderId, OrderStatus, ProductId, UserId};
use crate::events::pb;
use crate::events::wire::DecodeError;

impl From<OrderStatus> for pb::OrderStatus {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::Pending,
            OrderStatus::Confirmed => Self::Confirmed,
            OrderStatus::Rejected => Self::Rejected,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Processing => Self::Processing,
            OrderStatus::Shipped => Self::Shipped,
            OrderStatus::Delivered => Self::Delivered,
            OrderStatus::Canceled => Self::Canceled,
        }
    }
}

/// A status by its number; a number this version of the program does not know reads as unspecified: `None`.
fn status(number: i32) -> Option<OrderStatus> {
    Some(
        match pb::OrderStatus::try_from(number).unwrap_or_default() {
            pb::OrderStatus::Unspecified => return None,
            pb::OrderStatus::Pending => OrderStatus::Pending,
            pb::OrderStatus::Confirmed => OrderStatus::Confirmed,
            pb::OrderStatus::Rejected => OrderStatus::Rejected,
            pb::OrderStatus::Paid => OrderStatus::Paid,
            pb::OrderStatus::Processing => OrderStatus::Processing,
            pb::OrderStatus::Shipped => OrderStatus::Shipped,
            pb::OrderStatus::Delivered => OrderStatus::Delivered,
            pb::OrderStatus::Canceled => OrderStatus::Canceled,
        },
    )
}

fn known_status(number: i32) -> Result<OrderStatus, DecodeError> {
    status(number).ok_or_else(|| bad("an order's status is unspecified"))
}

impl From<Actor> for pb::Actor {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Customer => Self::Customer,
            Actor::Staff => Self::Staff,
            Actor::System => Self::System,
        }
    }
}

fn actor(number: i32) -> Actor {
    match pb::Actor::try_from(number).unwrap_or_default() {
        pb::Actor::Customer => Actor::Customer,
        pb::Actor::Staff => Actor::Staff,
        pb::Actor::System | pb::Actor::Unspecified => Actor::System,
    }
}

impl From<&Order> for pb::Order {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id.uuid().to_string(),
            version: order.version,
            status: pb::OrderStatus::from(order.status).into(),
            customer_id: order.customer_id.uuid().to_string(),
            customer_name: order.customer_name.clone(),
            items: order.items.iter().map(Into::into).collect(),
            total: Some(order.total.into()),
            payments: order.payments.iter().map(Into::into).collect(),
            shortages: order.shortages.iter().map(Into::into).collect(),
            timeline: order.timeline.iter().map(Into::into).collect(),
            created_at: Some(order.created_at.into()),
            updated_at: Some(order.updated_at.into()),
            deleted: order.deleted,
        }
    }
}

impl TryFrom<pb::Order> for Order {
    type Error = DecodeError;

    fn try_from(order: pb::Order) -> Result<Self, DecodeError> {
        Ok(Self {
            id: OrderId::from_uuid(uuid(&order.id)?),
            version: order.version,
            status: known_status(order.status)?,
            customer_id: UserId::from_uuid(uuid(&order.customer_id)?),
            customer_name: order.customer_name,
            items: convert(order.items)?,
            total: money(order.total)?,
            payments: convert(order.payments)?,
            shortages: convert(order.shortages)?,
            timeline: convert(order.timeline)?,
            created_at: timestamp(order.created_at)?,
            updated_at: timestamp(order.updated_at)?,
            deleted: order.deleted,
        })
    }
}

impl From<&OrderItem> for pb::OrderItem {
    fn from(item: &OrderItem) -> Self {
        Self {
            product_id: item.product_id.uuid().to_string(),
            product_name: item.product_name.clone(),
            unit_price: Some(item.unit_price.into()),
            quantity: item.quantity,
        }
    }
}

impl TryFrom<pb::OrderItem> for OrderItem {
    type Error = DecodeError;

    fn try_from(item: pb::OrderItem) -> Result<Self, DecodeError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(&item.product_id)?),
            product_name: item.product_name,
            unit_price: money(item.unit_price)?,
            quantity: item.quantity,
        })
    }
}

impl From<&Payment> for pb::Payment {
    fn from(payment: &Payment) -> Self {
        Self {
            method: payment.method.clone(),
            reference: payment.reference.clone(),
            amount: Some(payment.amount.into()),
            recorded_at: Some(payment.recorded_at.into()),
            recorded_version: payment.recorded_version,
            refund_due_version: payment.refund_due_version,
        }
    }
}

impl TryFrom<pb::Payment> for Payment {
    type Error = DecodeError;

    fn try_from(payment: pb::Payment) -> Result<Self, DecodeError> {
        Ok(Self {
            method: payment.method,
            reference: payment.reference,
            amount: money(payment.amount)?,
            recorded_at: timestamp(payment.recorded_at)?,
            recorded_version: payment.recorded_version,
            refund_due_version: payment.refund_due_version,
        })
    }
}

impl From<&Shortage> for pb::Shortage {
    fn from(shortage: &Shortage) -> Self {
        Self {
            product_id: shortage.product_id.uuid().to_string(),
            requested: shortage.requested,
            available: shortage.available,
        }
    }
}

impl TryFrom<pb::Shortage> for Shortage {
    type Error = DecodeError;

    fn try_from(shortage: pb::Shortage) -> Result<Self, DecodeError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(&shortage.product_id)?),
            requested: shortage.requested,
            available: shortage.available,
        })
    }
}

impl From<&TimelineEntry> for pb::TimelineEntry {
    fn from(entry: &TimelineEntry) -> Self {
        let from = entry.from.map_or(pb::OrderStatus::Unspecified, Into::into);
        Self {
            version: entry.version,
            from: from.into(),
            to: pb::OrderStatus::from(entry.to).into(),
            reason: entry.reason.clone(),
            actor: pb::Actor::from(entry.actor).into(),
            at: Some(entry.at.into()),
        }
    }
}

impl TryFrom<pb::TimelineEntry> for TimelineEntry {
    type Error = DecodeError;

    fn try_from(entry: pb::TimelineEntry) -> Result<Self, DecodeError> {
        Ok(Self {
            version: entry.version,
            from: status(entry.from),
            to: known_status(entry.to)?,
            reason: entry.reason,
            actor: actor(entry.actor),
            at: timestamp(entry.at)?,
        })
    }
}

//! Between the rules' types and the contracts' messages. Towards the wire nothing can fail; from it, ids, currencies and
//! statuses are read as strictly as a client's input.

use std::str::FromStr;

use uuid::Uuid;

use super::event::StockDecision;
use super::pb;
use super::wire::DecodeError;
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::stock::{HoldState, Units};
use crate::domain::{
    Currency, Money, Order, OrderId, OrderStatus, Product, ProductId, StockLevel, Timestamp, User,
    UserId,
};

fn bad(what: &str) -> DecodeError {
    DecodeError::BadPayload(what.to_owned())
}

fn uuid(text: &str) -> Result<Uuid, DecodeError> {
    Uuid::try_parse(text).map_err(|_| bad("an id is not a UUID"))
}

impl From<Timestamp> for pbjson_types::Timestamp {
    fn from(at: Timestamp) -> Self {
        let nanos = i32::try_from(at.millis().rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self {
            seconds: at.millis().div_euclid(1000),
            nanos,
        }
    }
}

fn timestamp(at: Option<pbjson_types::Timestamp>) -> Result<Timestamp, DecodeError> {
    let at = at.ok_or_else(|| bad("a time is missing"))?;
    let seconds = at
        .seconds
        .checked_mul(1000)
        .ok_or_else(|| bad("a time is out of range"))?;
    Ok(Timestamp::from_millis(
        seconds.saturating_add(i64::from(at.nanos / 1_000_000)),
    ))
}

impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        Self {
            minor: money.minor,
            currency: money.currency.code().to_owned(),
        }
    }
}

fn money(money: Option<pb::Money>) -> Result<Money, DecodeError> {
    let money = money.ok_or_else(|| bad("an amount is missing"))?;
    let currency = Currency::from_str(&money.currency).map_err(|_| bad("a currency is unknown"))?;
    Ok(Money {
        minor: money.minor,
        currency,
    })
}

impl From<&User> for pb::User {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.uuid().to_string(),
            version: user.version,
            name: user.name.clone(),
            email: user.email.clone(),
            created_at: Some(user.created_at.into()),
            updated_at: Some(user.updated_at.into()),
            deleted: user.deleted,
        }
    }
}

impl TryFrom<pb::User> for User {
    type Error = DecodeError;

    fn try_from(user: pb::User) -> Result<Self, DecodeError> {
        Ok(Self {
            id: UserId::from_uuid(uuid(&user.id)?),
            version: user.version,
            name: user.name,
            email: user.email,
            created_at: timestamp(user.created_at)?,
            updated_at: timestamp(user.updated_at)?,
            deleted: user.deleted,
        })
    }
}

impl From<&Product> for pb::Product {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.uuid().to_string(),
            version: product.version,
            name: product.name.clone(),
            description: product.description.clone(),
            price: Some(product.price.into()),
            created_at: Some(product.created_at.into()),
            updated_at: Some(product.updated_at.into()),
            deleted: product.deleted,
        }
    }
}

impl TryFrom<pb::Product> for Product {
    type Error = DecodeError;

    fn try_from(product: pb::Product) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ProductId::from_uuid(uuid(&product.id)?),
            version: product.version,
            name: product.name,
            description: product.description,
            price: money(product.price)?,
            created_at: timestamp(product.created_at)?,
            updated_at: timestamp(product.updated_at)?,
            deleted: product.deleted,
        })
    }
}

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

fn convert<M, T: TryFrom<M, Error = DecodeError>>(messages: Vec<M>) -> Result<Vec<T>, DecodeError> {
    messages.into_iter().map(T::try_from).collect()
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

impl From<&Units> for pb::Units {
    fn from(units: &Units) -> Self {
        Self {
            product_id: units.product_id.uuid().to_string(),
            quantity: units.quantity,
        }
    }
}

impl TryFrom<pb::Units> for Units {
    type Error = DecodeError;

    fn try_from(units: pb::Units) -> Result<Self, DecodeError> {
        let product_id = ProductId::from_uuid(uuid(&units.product_id)?);
        Ok(Self {
            product_id,
            quantity: units.quantity,
        })
    }
}

impl From<&StockDecision> for pb::StockDecision {
    fn from(decision: &StockDecision) -> Self {
        let kind = match decision.state {
            None => pb::DecisionKind::Unspecified,
            Some(HoldState::Held) => pb::DecisionKind::Reserved,
            Some(HoldState::Rejected) => pb::DecisionKind::Rejected,
            Some(HoldState::Released) => pb::DecisionKind::Released,
            Some(HoldState::Shipped) => pb::DecisionKind::Shipped,
        };
        Self {
            order_id: decision.order_id.uuid().to_string(),
            version: decision.version,
            order_version: decision.order_version,
            decision: kind.into(),
            lines: decision.lines.iter().map(Into::into).collect(),
            shortages: decision.shortages.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::StockDecision> for StockDecision {
    type Error = DecodeError;

    fn try_from(decision: pb::StockDecision) -> Result<Self, DecodeError> {
        let state = match pb::DecisionKind::try_from(decision.decision).unwrap_or_default() {
            pb::DecisionKind::Unspecified => None,
            pb::DecisionKind::Reserved => Some(HoldState::Held),
            pb::DecisionKind::Rejected => Some(HoldState::Rejected),
            pb::DecisionKind::Released => Some(HoldState::Released),
            pb::DecisionKind::Shipped => Some(HoldState::Shipped),
        };
        Ok(Self {
            order_id: OrderId::from_uuid(uuid(&decision.order_id)?),
            version: decision.version,
            order_version: decision.order_version,
            state,
            lines: convert(decision.lines)?,
            shortages: convert(decision.shortages)?,
        })
    }
}

impl From<&StockLevel> for pb::StockLevel {
    fn from(level: &StockLevel) -> Self {
        Self {
            product_id: level.product_id.uuid().to_string(),
            version: level.version,
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
            sellable: level.sellable,
        }
    }
}

impl TryFrom<pb::StockLevel> for StockLevel {
    type Error = DecodeError;

    fn try_from(level: pb::StockLevel) -> Result<Self, DecodeError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(&level.product_id)?),
            version: level.version,
            on_hand: level.on_hand,
            reserved: level.reserved,
            sellable: level.sellable,
        })
    }
}

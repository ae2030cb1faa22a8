//! The form of an order in its collection, both ways.

use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};

use super::ViewError;
use super::fields::{MoneyFields, Reader, bson_uuid, date, timestamp, uuid};
use super::orders::DeletedOrder;
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::{Order, OrderId, OrderStatus, ProductId, UserId};

pub(super) const COLLECTION: &str = "orders";
pub(super) const READER: Reader = Reader(COLLECTION);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrderDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    version: i64,
    deleted: bool,
    status: String,
    customer_id: Uuid,
    customer_name: String,
    items: Vec<ItemFields>,
    total: MoneyFields,
    payments: Vec<PaymentFields>,
    shortages: Vec<ShortageFields>,
    timeline: Vec<TimelineFields>,
    created_at: DateTime,
    updated_at: DateTime,
}

/// What is left of a deleted order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeletedOrderDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    version: i64,
    deleted: bool,
    status: String,
    timeline: Vec<TimelineFields>,
    created_at: DateTime,
    updated_at: DateTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct ItemFields {
    product_id: Uuid,
    product_name: String,
    unit_price: MoneyFields,
    quantity: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentFields {
    method: String,
    reference: String,
    amount: MoneyFields,
    recorded_at: DateTime,
    recorded_version: i64,
    refund_due_version: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ShortageFields {
    product_id: Uuid,
    requested: i64,
    available: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct TimelineFields {
    version: i64,
    from: Option<String>,
    to: String,
    reason: Option<String>,
    actor: String,
    at: DateTime,
}

impl From<&Order> for OrderDocument {
    fn from(order: &Order) -> Self {
        Self {
            id: bson_uuid(order.id.uuid()),
            version: order.version.into(),
            deleted: false,
            status: order.status.as_str().to_owned(),
            customer_id: bson_uuid(order.customer_id.uuid()),
            customer_name: order.customer_name.clone(),
            items: order.items.iter().map(Into::into).collect(),
            total: order.total.into(),
            payments: order.payments.iter().map(Into::into).collect(),
            shortages: order.shortages.iter().map(Into::into).collect(),
            timeline: order.timeline.iter().map(Into::into).collect(),
            created_at: date(order.created_at),
            updated_at: date(order.updated_at),
        }
    }
}

impl TryFrom<OrderDocument> for Order {
    type Error = ViewError;

    fn try_from(document: OrderDocument) -> Result<Self, ViewError> {
        Ok(Self {
            id: OrderId::from_uuid(uuid(document.id)),
            version: READER.count(document.version, "a version")?,
            status: status(&document.status)?,
            customer_id: UserId::from_uuid(uuid(document.customer_id)),
            customer_name: document.customer_name,
            items: all(document.items)?,
            total: READER.money(&document.total)?,
            payments: all(document.payments)?,
            shortages: all(document.shortages)?,
            timeline: all(document.timeline)?,
            created_at: timestamp(document.created_at),
            updated_at: timestamp(document.updated_at),
            deleted: document.deleted,
        })
    }
}

impl From<&Order> for DeletedOrderDocument {
    fn from(order: &Order) -> Self {
        let without_reason = |entry: &TimelineEntry| TimelineFields {
            reason: None,
            ..TimelineFields::from(entry)
        };
        Self {
            id: bson_uuid(order.id.uuid()),
            version: order.version.into(),
            deleted: true,
            status: order.status.as_str().to_owned(),
            timeline: order.timeline.iter().map(without_reason).collect(),
            created_at: date(order.created_at),
            updated_at: date(order.updated_at),
        }
    }
}

impl TryFrom<DeletedOrderDocument> for DeletedOrder {
    type Error = ViewError;

    fn try_from(document: DeletedOrderDocument) -> Result<Self, ViewError> {
        Ok(Self {
            id: OrderId::from_uuid(uuid(document.id)),
            version: READER.count(document.version, "a version")?,
            status: status(&document.status)?,
            timeline: all(document.timeline)?,
            created_at: timestamp(document.created_at),
            updated_at: timestamp(document.updated_at),
        })
    }
}

fn all<F, T: TryFrom<F, Error = ViewError>>(fields: Vec<F>) -> Result<Vec<T>, ViewError> {
    fields.into_iter().map(T::try_from).collect()
}

fn status(word: &str) -> Result<OrderStatus, ViewError> {
    word.parse().map_err(|_| READER.corrupt("a status"))
}

impl From<&OrderItem> for ItemFields {
    fn from(item: &OrderItem) -> Self {
        Self {
            product_id: bson_uuid(item.product_id.uuid()),
            product_name: item.product_name.clone(),
            unit_price: item.unit_price.into(),
            quantity: item.quantity.into(),
        }
    }
}

impl TryFrom<ItemFields> for OrderItem {
    type Error = ViewError;

    fn try_from(fields: ItemFields) -> Result<Self, ViewError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(fields.product_id)),
            product_name: fields.product_name,
            unit_price: READER.money(&fields.unit_price)?,
            quantity: READER.count(fields.quantity, "a quantity")?,
        })
    }
}

impl From<&Payment> for PaymentFields {
    fn from(payment: &Payment) -> Self {
        Self {
            method: payment.method.clone(),
            reference: payment.reference.clone(),
            amount: payment.amount.into(),
            recorded_at: date(payment.recorded_at),
            recorded_version: payment.recorded_version.into(),
            refund_due_version: payment.refund_due_version.map(Into::into),
        }
    }
}

impl TryFrom<PaymentFields> for Payment {
    type Error = ViewError;

    fn try_from(fields: PaymentFields) -> Result<Self, ViewError> {
        let version = |number| READER.count(number, "a payment's version");
        Ok(Self {
            method: fields.method,
            reference: fields.reference,
            amount: READER.money(&fields.amount)?,
            recorded_at: timestamp(fields.recorded_at),
            recorded_version: version(fields.recorded_version)?,
            refund_due_version: fields.refund_due_version.map(version).transpose()?,
        })
    }
}

impl From<&Shortage> for ShortageFields {
    fn from(shortage: &Shortage) -> Self {
        Self {
            product_id: bson_uuid(shortage.product_id.uuid()),
            requested: shortage.requested.into(),
            available: shortage.available.into(),
        }
    }
}

impl TryFrom<ShortageFields> for Shortage {
    type Error = ViewError;

    fn try_from(fields: ShortageFields) -> Result<Self, ViewError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(fields.product_id)),
            requested: READER.count(fields.requested, "a quantity")?,
            available: READER.count(fields.available, "a quantity")?,
        })
    }
}

impl From<&TimelineEntry> for TimelineFields {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            version: entry.version.into(),
            from: entry.from.map(|from| from.as_str().to_owned()),
            to: entry.to.as_str().to_owned(),
            reason: entry.reason.clone(),
            actor: entry.actor.as_str().to_owned(),
            at: date(entry.at),
        }
    }
}

impl TryFrom<TimelineFields> for TimelineEntry {
    type Error = ViewError;

    fn try_from(fields: TimelineFields) -> Result<Self, ViewError> {
        Ok(Self {
            version: READER.count(fields.version, "a version of the timeline")?,
            from: fields.from.as_deref().map(status).transpose()?,
            to: status(&fields.to)?,
            reason: fields.reason,
            actor: Actor::from_word(&fields.actor).ok_or_else(|| READER.corrupt("an actor"))?,
            at: timestamp(fields.at),
        })
    }
}

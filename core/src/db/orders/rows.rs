//! Rows of the four tables, from an order and to one.

use diesel::prelude::*;

use crate::db::StoreError;
use crate::db::schema::{order_items, order_transitions, orders, payments};
use crate::db::types::{money, status};
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::{Order, OrderId, ProductId, Timestamp, UserId};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = orders, check_for_backend(diesel::mysql::Mysql))]
pub(super) struct Row {
    pub(super) id: OrderId,
    pub(super) version: u32,
    pub(super) status: String,
    pub(super) customer_id: UserId,
    pub(super) customer_name: String,
    pub(super) total_minor: i64,
    pub(super) currency: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) deleted_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_items, check_for_backend(diesel::mysql::Mysql))]
pub(super) struct ItemRow {
    pub(super) order_id: OrderId,
    pub(super) line: u16,
    pub(super) product_id: ProductId,
    pub(super) product_name: String,
    pub(super) unit_price_minor: i64,
    pub(super) quantity: u32,
    pub(super) short_available: Option<u32>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_transitions, check_for_backend(diesel::mysql::Mysql))]
pub(super) struct TransitionRow {
    pub(super) order_id: OrderId,
    pub(super) version: u32,
    pub(super) from_status: Option<String>,
    pub(super) to_status: String,
    pub(super) reason: Option<String>,
    pub(super) actor: String,
    pub(super) at: Timestamp,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = payments, check_for_backend(diesel::mysql::Mysql))]
pub(super) struct PaymentRow {
    pub(super) reference: String,
    pub(super) order_id: OrderId,
    pub(super) method: String,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) state: String,
    pub(super) recorded_at: Timestamp,
    pub(super) recorded_version: u32,
    pub(super) refund_due_version: Option<u32>,
}

pub(super) struct Parts {
    pub(super) items: Vec<ItemRow>,
    pub(super) transitions: Vec<TransitionRow>,
    pub(super) payments: Vec<PaymentRow>,
}

pub(super) fn assemble(row: Row, parts: &mut Parts) -> Result<Order, StoreError> {
    let total = money(row.total_minor, &row.currency)?;
    let mut order = Order {
        id: row.id,
        version: row.version,
        status: status(&row.status)?,
        customer_id: row.customer_id,
        customer_name: row.customer_name,
        items: Vec::new(),
        total,
        payments: Vec::new(),
        shortages: Vec::new(),
        timeline: Vec::new(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        deleted: row.deleted_at.is_some(),
    };
    for item in parts.items.drain(..) {
        if let Some(available) = item.short_available {
            let product_id = item.product_id;
            order.shortages.push(Shortage {
                product_id,
                requested: item.quantity,
                available,
            });
        }
        order.items.push(OrderItem {
            product_id: item.product_id,
            product_name: item.product_name,
            unit_price: money(item.unit_price_minor, &row.currency)?,
            quantity: item.quantity,
        });
    }
    for payment in parts.payments.drain(..) {
        order.payments.push(Payment {
            method: payment.method,
            reference: payment.reference,
            amount: money(payment.amount_minor, &payment.currency)?,
            recorded_at: payment.recorded_at,
            recorded_version: payment.recorded_version,
            refund_due_version: payment.refund_due_version,
        });
    }
    for entry in parts.transitions.drain(..) {
        order.timeline.push(TimelineEntry {
            version: entry.version,
            from: entry.from_status.as_deref().map(status).transpose()?,
            to: status(&entry.to_status)?,
            reason: entry.reason,
            actor: Actor::from_word(&entry.actor)
                .ok_or_else(|| StoreError::corrupt("actor", &entry.actor))?,
            at: entry.at,
        });
    }
    Ok(order)
}

pub(super) const RECORDED: &str = "RECORDED";
pub(super) const REFUND_DUE: &str = "REFUND_DUE";

pub(super) fn row(order: &Order) -> Row {
    Row {
        id: order.id,
        version: order.version,
        status: order.status.as_str().to_owned(),
        customer_id: order.customer_id,
        customer_name: order.customer_name.clone(),
        total_minor: order.total.minor,
        currency: order.total.currency.code().to_owned(),
        created_at: order.created_at,
        updated_at: order.updated_at,
        deleted_at: order.deleted.then_some(order.updated_at),
    }
}

pub(super) fn item_rows(order: &Order) -> Vec<ItemRow> {
    let short = |id: ProductId| {
        order
            .shortages
            .iter()
            .find(|shortage| shortage.product_id == id)
    };
    order
        .items
        .iter()
        .zip(1..)
        .map(|(item, line)| ItemRow {
            order_id: order.id,
            line,
            product_id: item.product_id,
            product_name: item.product_name.clone(),
            unit_price_minor: item.unit_price.minor,
            quantity: item.quantity,
            short_available: short(item.product_id).map(|shortage| shortage.available),
        })
        .collect()
}

pub(super) fn transition_row(order_id: OrderId, entry: &TimelineEntry) -> TransitionRow {
    TransitionRow {
        order_id,
        version: entry.version,
        from_status: entry.from.map(|status| status.as_str().to_owned()),
        to_status: entry.to.as_str().to_owned(),
        reason: entry.reason.clone(),
        actor: entry.actor.as_str().to_owned(),
        at: entry.at,
    }
}

pub(super) fn payment_row(order_id: OrderId, payment: &Payment) -> PaymentRow {
    let state = if payment.refund_due_version.is_some() {
        REFUND_DUE
    } else {
        RECORDED
    };
    PaymentRow {
        reference: payment.reference.clone(),
        order_id,
        method: payment.method.clone(),
        amount_minor: payment.amount.minor,
        currency: payment.amount.currency.code().to_owned(),
        state: state.to_owned(),
        recorded_at: payment.recorded_at,
        recorded_version: payment.recorded_version,
        refund_due_version: payment.refund_due_version,
    }
}

//! Saves new orders, and what changed of others.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Datetime, Integer, Nullable, Text, Unsigned};
use diesel_async::RunQueryDsl;

use super::rows::{
    ItemRow, RECORDED, REFUND_DUE, Row, TransitionRow, item_rows, payment_row, row, transition_row,
};
use crate::db::parts::parts;
use crate::db::schema::{order_items, order_transitions, orders, payments};
use crate::db::{Conn, StoreError};
use crate::domain::{Order, OrderStatus, Version};

/// Inserts a new order.
pub async fn insert(conn: &mut Conn, order: &Order) -> Result<(), StoreError> {
    diesel::insert_into(orders::table)
        .values(row(order))
        .execute(conn)
        .await?;
    diesel::insert_into(order_items::table)
        .values(&item_rows(order))
        .execute(conn)
        .await?;
    let entries: Vec<_> = order
        .timeline
        .iter()
        .map(|entry| transition_row(order.id, entry))
        .collect();
    diesel::insert_into(order_transitions::table)
        .values(&entries)
        .execute(conn)
        .await?;
    Ok(())
}

/// An order that was locked, changed and is to be saved.
#[derive(Debug)]
pub struct Changed {
    /// The version it was locked at.
    pub from_version: Version,
    /// As it is now.
    pub order: Order,
}

/// Saves orders that were locked before, all together.
///
/// # Errors
/// [`StoreError::Duplicate`] if a payment's reference is in use.
pub async fn save_many(conn: &mut Conn, changes: &[Changed]) -> Result<(), StoreError> {
    let rows: Vec<Row> = changes.iter().map(|change| row(&change.order)).collect();
    for part in parts(&rows, 10) {
        diesel::insert_into(orders::table)
            .values(part)
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set((
                orders::version.eq(sql::<Unsigned<Integer>>("VALUES(version)")),
                orders::status.eq(sql::<Text>("VALUES(status)")),
                orders::customer_name.eq(sql::<Text>("VALUES(customer_name)")),
                orders::updated_at.eq(sql::<Datetime>("VALUES(updated_at)")),
                orders::deleted_at.eq(sql::<Nullable<Datetime>>("VALUES(deleted_at)")),
                orders::awaiting_payment_since.eq(sql::<Nullable<Datetime>>(
                    "IF(VALUES(status) = 'CONFIRMED', COALESCE(awaiting_payment_since, NOW(3)), NULL)",
                )),
            ))
            .execute(conn)
            .await?;
    }
    let entries: Vec<_> = changes.iter().flat_map(new_entries).collect();
    for part in parts(&entries, 7) {
        diesel::insert_into(order_transitions::table)
            .values(part)
            .execute(conn)
            .await?;
    }
    save_shortages(conn, changes).await?;
    save_payments(conn, changes).await
}

fn new_entries(change: &Changed) -> impl Iterator<Item = TransitionRow> {
    let Changed {
        from_version,
        order,
    } = change;
    let entries = order
        .timeline
        .iter()
        .filter(move |entry| entry.version > *from_version);
    entries.map(|entry| transition_row(order.id, entry))
}

async fn save_shortages(conn: &mut Conn, changes: &[Changed]) -> Result<(), StoreError> {
    let rejected_now = |change: &&Changed| {
        change.from_version == 1 && change.order.status == OrderStatus::Rejected
    };
    let rows: Vec<ItemRow> = changes
        .iter()
        .filter(rejected_now)
        .flat_map(|change| item_rows(&change.order))
        .collect();
    for part in parts(&rows, 7) {
        diesel::insert_into(order_items::table)
            .values(part)
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set(
                order_items::short_available.eq(sql::<Nullable<Unsigned<Integer>>>(
                    "VALUES(short_available)",
                )),
            )
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// New payments are inserted, so that a reference in use is an error; known ones get their refund's state.
async fn save_payments(conn: &mut Conn, changes: &[Changed]) -> Result<(), StoreError> {
    let mut new = Vec::new();
    let mut refund_due = Vec::new();
    for Changed {
        from_version,
        order,
    } in changes
    {
        for payment in &order.payments {
            if payment.recorded_version > *from_version {
                new.push(payment_row(order.id, payment));
            } else if payment
                .refund_due_version
                .is_some_and(|due| due > *from_version)
            {
                refund_due.push(order.id);
            }
        }
    }
    for part in parts(&new, 9) {
        diesel::insert_into(payments::table)
            .values(part)
            .execute(conn)
            .await?;
    }
    if !refund_due.is_empty() {
        let recorded = payments::order_id
            .eq_any(&refund_due)
            .and(payments::state.eq(RECORDED));
        let due_version = sql::<Nullable<Unsigned<Integer>>>(
            "(SELECT version FROM orders WHERE orders.id = payments.order_id)",
        );
        diesel::update(payments::table.filter(recorded))
            .set((
                payments::state.eq(REFUND_DUE),
                payments::refund_due_version.eq(due_version),
            ))
            .execute(conn)
            .await?;
    }
    Ok(())
}

//! Reads whole orders.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::Binary;
use diesel_async::RunQueryDsl;

use super::IdRow;
use super::rows::{ItemRow, Parts, PaymentRow, Row, TransitionRow, assemble};
use crate::db::schema::{order_items, order_transitions, orders, payments};
use crate::db::{Conn, StoreError};
use crate::domain::{Order, OrderId, Scope};
use crate::runtime::guard::{self, Guard};

/// Locks one order that is not deleted.
pub async fn lock(conn: &mut Conn, id: OrderId) -> Result<Option<Order>, StoreError> {
    Ok(lock_many(conn, &[id])
        .await?
        .into_iter()
        .find(|order| !order.deleted))
}

/// Locks one order that is not deleted and in the scope. Of an order beyond it nothing is read: by the customer's own
/// index it is as little there as one that does not exist.
pub async fn lock_within(
    conn: &mut Conn,
    id: OrderId,
    scope: Scope,
) -> Result<Option<Order>, StoreError> {
    if let Scope::Of(customer) = scope {
        let own: Vec<IdRow> = diesel::sql_query(
            "SELECT id FROM orders FORCE INDEX (orders_of_customer) WHERE customer_id = ? AND id = ?",
        )
        .bind::<Binary, _>(customer)
        .bind::<Binary, _>(id)
        .load(conn)
        .await?;
        if own.is_empty() {
            return Ok(None);
        }
    }
    lock(conn, id).await // whose it is never changes
}

/// Locks orders with all that belongs to them, by id; those that do not exist are left out, deleted ones are not.
pub async fn lock_many(conn: &mut Conn, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
    let wanted = orders::table
        .filter(orders::id.eq_any(ids))
        .order(orders::id)
        .select(Row::as_select());
    let rows: Vec<Row> = if guard::is_on(Guard::RowLock) {
        wanted.for_update().load(conn).await?
    } else {
        wanted.load(conn).await?
    };
    complete(conn, rows, ids).await
}

/// Orders with all that belongs to them, deleted or not, which nobody may change until this transaction ends; those that do not
/// exist are left out.
pub async fn share_any(conn: &mut Conn, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
    let rows: Vec<Row> = orders::table
        .filter(orders::id.eq_any(ids))
        .order(orders::id)
        .select(Row::as_select())
        .for_share()
        .load(conn)
        .await?;
    complete(conn, rows, ids).await
}

/// Orders with all that belongs to them, deleted or not, without a lock; those that do not exist are left out.
pub async fn any(conn: &mut Conn, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
    let rows: Vec<Row> = orders::table
        .filter(orders::id.eq_any(ids))
        .order(orders::id)
        .select(Row::as_select())
        .load(conn)
        .await?;
    complete(conn, rows, ids).await
}

async fn complete(
    conn: &mut Conn,
    rows: Vec<Row>,
    ids: &[OrderId],
) -> Result<Vec<Order>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<ItemRow> = order_items::table
        .filter(order_items::order_id.eq_any(ids))
        .order((order_items::order_id, order_items::line))
        .select(ItemRow::as_select())
        .load(conn)
        .await?;
    let transitions: Vec<TransitionRow> = order_transitions::table
        .filter(order_transitions::order_id.eq_any(ids))
        .order((order_transitions::order_id, order_transitions::version))
        .select(TransitionRow::as_select())
        .load(conn)
        .await?;
    let paid: Vec<PaymentRow> = payments::table
        .filter(payments::order_id.eq_any(ids))
        .order((payments::order_id, payments::recorded_version))
        .select(PaymentRow::as_select())
        .load(conn)
        .await?;
    assemble_all(rows, items, transitions, paid)
}

/// Orders by id with all that belongs to them, deleted or not, those after `after`, without a lock.
pub async fn after(
    conn: &mut Conn,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, StoreError> {
    let mut page = orders::table
        .order(orders::id)
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = after {
        page = page.filter(orders::id.gt(after));
    }
    let rows: Vec<Row> = page.load(conn).await?;
    let (Some(first), Some(last)) = (rows[..].first(), rows[..].last()) else {
        return Ok(Vec::new());
    };
    // A range instead of a list: what belongs to the page lies together in each table.
    let (first, last) = (first.id, last.id);
    let items: Vec<ItemRow> = order_items::table
        .filter(order_items::order_id.between(first, last))
        .order((order_items::order_id, order_items::line))
        .select(ItemRow::as_select())
        .load(conn)
        .await?;
    let transitions: Vec<TransitionRow> = order_transitions::table
        .filter(order_transitions::order_id.between(first, last))
        .order((order_transitions::order_id, order_transitions::version))
        .select(TransitionRow::as_select())
        .load(conn)
        .await?;
    let paid: Vec<PaymentRow> = payments::table
        .filter(payments::order_id.between(first, last))
        .order((payments::order_id, payments::recorded_version))
        .select(PaymentRow::as_select())
        .load(conn)
        .await?;
    assemble_all(rows, items, transitions, paid)
}

fn assemble_all(
    rows: Vec<Row>,
    items: Vec<ItemRow>,
    transitions: Vec<TransitionRow>,
    paid: Vec<PaymentRow>,
) -> Result<Vec<Order>, StoreError> {
    let mut items = by_order(items, |item| item.order_id);
    let mut transitions = by_order(transitions, |transition| transition.order_id);
    let mut paid = by_order(paid, |payment| payment.order_id);
    rows.into_iter()
        .map(|row| {
            let id = row.id;
            let mut take = Parts {
                items: items.remove(&id).unwrap_or_default(),
                transitions: transitions.remove(&id).unwrap_or_default(),
                payments: paid.remove(&id).unwrap_or_default(),
            };
            assemble(row, &mut take)
        })
        .collect()
}

fn by_order<R>(rows: Vec<R>, order: impl Fn(&R) -> OrderId) -> HashMap<OrderId, Vec<R>> {
    let mut map: HashMap<OrderId, Vec<R>> = HashMap::new();
    for row in rows {
        map.entry(order(&row)).or_default().push(row);
    }
    map
}

//! Tables `orders`, `order_items`, `order_transitions` and `payments`: an order and all that belongs to it.

use std::collections::HashMap;
use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Integer, Nullable, Text, Unsigned};
use diesel_async::RunQueryDsl;

use super::parts::parts;
use super::schema::{order_items, order_transitions, orders, payments};
use super::types::{money, status};
use super::{Conn, StoreError};
use crate::domain::order::{Actor, OrderItem, Payment, Shortage, TimelineEntry};
use crate::domain::{Order, OrderId, OrderStatus, ProductId, Timestamp, UserId, Version};
use crate::runtime::guard::{self, Guard};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = orders, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    id: OrderId,
    version: u32,
    status: String,
    customer_id: UserId,
    customer_name: String,
    total_minor: i64,
    currency: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_items, check_for_backend(diesel::mysql::Mysql))]
struct ItemRow {
    order_id: OrderId,
    line: u16,
    product_id: ProductId,
    product_name: String,
    unit_price_minor: i64,
    quantity: u32,
    short_available: Option<u32>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = order_transitions, check_for_backend(diesel::mysql::Mysql))]
struct TransitionRow {
    order_id: OrderId,
    version: u32,
    from_status: Option<String>,
    to_status: String,
    reason: Option<String>,
    actor: String,
    at: Timestamp,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = payments, check_for_backend(diesel::mysql::Mysql))]
struct PaymentRow {
    reference: String,
    order_id: OrderId,
    method: String,
    amount_minor: i64,
    currency: String,
    state: String,
    recorded_at: Timestamp,
    recorded_version: u32,
    refund_due_version: Option<u32>,
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

/// Locks one order that is not deleted.
pub async fn lock(conn: &mut Conn, id: OrderId) -> Result<Option<Order>, StoreError> {
    Ok(lock_many(conn, &[id])
        .await?
        .into_iter()
        .find(|order| !order.deleted))
}

struct Parts {
    items: Vec<ItemRow>,
    transitions: Vec<TransitionRow>,
    payments: Vec<PaymentRow>,
}

fn by_order<R>(rows: Vec<R>, order: impl Fn(&R) -> OrderId) -> HashMap<OrderId, Vec<R>> {
    let mut map: HashMap<OrderId, Vec<R>> = HashMap::new();
    for row in rows {
        map.entry(order(&row)).or_default().push(row);
    }
    map
}

fn assemble(row: Row, parts: &mut Parts) -> Result<Order, StoreError> {
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

const RECORDED: &str = "RECORDED";
const REFUND_DUE: &str = "REFUND_DUE";

fn row(order: &Order) -> Row {
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

fn item_rows(order: &Order) -> Vec<ItemRow> {
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

fn transition_row(order_id: OrderId, entry: &TimelineEntry) -> TransitionRow {
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

fn payment_row(order_id: OrderId, payment: &Payment) -> PaymentRow {
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

/// How many of a user's orders are not final.
pub async fn count_open(conn: &mut Conn, customer: UserId) -> Result<u32, StoreError> {
    let open: Vec<&str> = OrderStatus::ALL
        .into_iter()
        .filter(|status| !status.is_final())
        .map(OrderStatus::as_str)
        .collect();
    let count: i64 = orders::table
        .filter(
            orders::customer_id
                .eq(customer)
                .and(orders::status.eq_any(open)),
        )
        .count()
        .get_result(conn)
        .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct IdRow {
    #[diesel(sql_type = Binary)]
    id: OrderId,
}

/// Orders that have waited for their payment for longer than `timeout` by MySQL's clock, the oldest first.
pub async fn unpaid_for(
    conn: &mut Conn,
    timeout: Duration,
    limit: usize,
) -> Result<Vec<OrderId>, StoreError> {
    let rows: Vec<IdRow> = diesel::sql_query(
        "SELECT id FROM orders WHERE awaiting_payment_since <= NOW(3) - INTERVAL ? MICROSECOND \
         ORDER BY awaiting_payment_since LIMIT ?",
    )
    .bind::<BigInt, _>(i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

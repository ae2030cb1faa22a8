//! Table `stock_movements` beside the tables that it must add up to, for whoever checks.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use diesel_async::RunQueryDsl;

use super::schema::stock_movements as t;
use super::{Conn, StoreError};
use crate::domain::stock::{Movement, MovementKind};
use crate::domain::{OrderId, ProductId};

/// What the ledger and the holds of a product add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Received plus adjusted minus shipped.
    pub on_hand: i64,
    /// Reserved minus released minus shipped.
    pub reserved: i64,
    /// The units of lines that are held.
    pub held: i64,
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct SumRow {
    #[diesel(sql_type = Binary)]
    product_id: ProductId,
    #[diesel(sql_type = BigInt)]
    on_hand: i64,
    #[diesel(sql_type = BigInt)]
    reserved: i64,
    #[diesel(sql_type = BigInt)]
    held: i64,
}

/// The sums of every product that was ever moved or is held.
pub async fn sums(conn: &mut Conn) -> Result<BTreeMap<ProductId, Sums>, StoreError> {
    let rows: Vec<SumRow> = diesel::sql_query(
        "SELECT product_id, CAST(SUM(on_hand) AS SIGNED) AS on_hand, CAST(SUM(reserved) AS SIGNED) AS reserved, \
         CAST(SUM(held) AS SIGNED) AS held FROM (\
         SELECT product_id, \
         SUM(CASE kind WHEN 'RECEIVED' THEN quantity WHEN 'ADJUSTED' THEN quantity WHEN 'SHIPPED' THEN -quantity ELSE 0 END) \
         AS on_hand, \
         SUM(CASE kind WHEN 'RESERVED' THEN quantity WHEN 'RELEASED' THEN -quantity WHEN 'SHIPPED' THEN -quantity ELSE 0 END) \
         AS reserved, 0 AS held FROM stock_movements GROUP BY product_id \
         UNION ALL \
         SELECT l.product_id, 0, 0, SUM(l.quantity) FROM stock_orders o \
         JOIN stock_order_lines l ON l.order_id = o.order_id WHERE o.state = 'HELD' GROUP BY l.product_id\
         ) AS parts GROUP BY product_id",
    )
    .load(conn)
    .await?;
    let sums = rows.into_iter().map(|row| {
        let sums = Sums {
            on_hand: row.on_hand,
            reserved: row.reserved,
            held: row.held,
        };
        (row.product_id, sums)
    });
    Ok(sums.collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = t, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    product_id: ProductId,
    order_id: Option<OrderId>,
    kind: String,
    quantity: i64,
}

impl TryFrom<Row> for Movement {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            product_id: row.product_id,
            kind: MovementKind::from_word(&row.kind)
                .ok_or_else(|| StoreError::corrupt("kind", &row.kind))?,
            quantity: row.quantity,
            order_id: row.order_id,
        })
    }
}

/// The movements for the orders of a range of ids.
pub async fn of_orders_within(
    conn: &mut Conn,
    range: (Option<OrderId>, Option<OrderId>),
) -> Result<Vec<Movement>, StoreError> {
    let mut movements = t::table
        .filter(t::order_id.is_not_null())
        .select(Row::as_select())
        .into_boxed();
    if let (Some(after), _) = range {
        movements = movements.filter(t::order_id.gt(after));
    }
    if let (_, Some(to)) = range {
        movements = movements.filter(t::order_id.le(to));
    }
    let rows: Vec<Row> = movements.load(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The movements for some orders.
pub async fn of_orders(conn: &mut Conn, orders: &[OrderId]) -> Result<Vec<Movement>, StoreError> {
    let rows: Vec<Row> = t::table
        .filter(t::order_id.eq_any(orders.iter().map(Some)))
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

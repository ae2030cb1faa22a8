//! Tables `stock`, `stock_orders`, `stock_order_lines` and the ledger `stock_movements`.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text, Unsigned};
use diesel_async::RunQueryDsl;

use super::parts::parts;
use super::schema::{stock, stock_movements, stock_order_lines, stock_orders};
use super::{Conn, StoreError};
use crate::domain::order::Shortage;
use crate::domain::stock::{Hold, HoldState, Movement, StockLevel, Units};
use crate::domain::{OrderId, ProductId, Timestamp};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = stock, check_for_backend(diesel::mysql::Mysql))]
struct LevelRow {
    product_id: ProductId,
    version: u32,
    on_hand: u32,
    reserved: u32,
    sellable: bool,
}

impl From<&StockLevel> for LevelRow {
    fn from(level: &StockLevel) -> Self {
        Self {
            product_id: level.product_id,
            version: level.version,
            on_hand: level.on_hand,
            reserved: level.reserved,
            sellable: level.sellable,
        }
    }
}

impl From<LevelRow> for StockLevel {
    fn from(row: LevelRow) -> Self {
        Self {
            product_id: row.product_id,
            on_hand: row.on_hand,
            reserved: row.reserved,
            sellable: row.sellable,
            version: row.version,
        }
    }
}

/// Locks the levels of products, by id; products without a level are left out.
pub async fn lock_levels(
    conn: &mut Conn,
    products: &[ProductId],
) -> Result<Vec<StockLevel>, StoreError> {
    let rows: Vec<LevelRow> = stock::table
        .filter(stock::product_id.eq_any(products))
        .order(stock::product_id)
        .select(LevelRow::as_select())
        .for_update()
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The levels of products, by id, which nobody may change until this transaction ends; products without a level are left out.
pub async fn share_levels(
    conn: &mut Conn,
    products: &[ProductId],
) -> Result<Vec<StockLevel>, StoreError> {
    let rows: Vec<LevelRow> = stock::table
        .filter(stock::product_id.eq_any(products))
        .order(stock::product_id)
        .select(LevelRow::as_select())
        .for_share()
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Levels by product, those after `after`, without a lock.
pub async fn levels_after(
    conn: &mut Conn,
    after: Option<ProductId>,
    limit: i64,
) -> Result<Vec<StockLevel>, StoreError> {
    let mut page = stock::table
        .order(stock::product_id)
        .limit(limit)
        .select(LevelRow::as_select())
        .into_boxed();
    if let Some(after) = after {
        page = page.filter(stock::product_id.gt(after));
    }
    let rows: Vec<LevelRow> = page.load(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The levels of some products, without a lock.
pub async fn levels(
    conn: &mut Conn,
    products: &[ProductId],
) -> Result<Vec<StockLevel>, StoreError> {
    let rows: Vec<LevelRow> = stock::table
        .filter(stock::product_id.eq_any(products))
        .select(LevelRow::as_select())
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Inserts levels, or saves those that were locked before, all together.
pub async fn save_levels(
    conn: &mut Conn,
    levels: impl IntoIterator<Item = &StockLevel>,
) -> Result<(), StoreError> {
    let rows: Vec<LevelRow> = levels.into_iter().map(Into::into).collect();
    for part in parts(&rows, 5) {
        diesel::insert_into(stock::table)
            .values(part)
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set((
                stock::version.eq(sql::<Unsigned<Integer>>("VALUES(version)")),
                stock::on_hand.eq(sql::<Unsigned<Integer>>("VALUES(on_hand)")),
                stock::reserved.eq(sql::<Unsigned<Integer>>("VALUES(reserved)")),
                stock::sellable.eq(sql::<Bool>("VALUES(sellable)")),
            ))
            .execute(conn)
            .await?;
    }
    Ok(())
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = stock_orders, check_for_backend(diesel::mysql::Mysql))]
struct HoldRow {
    order_id: OrderId,
    state: String,
    version: u32,
    order_version: u32,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = stock_order_lines, check_for_backend(diesel::mysql::Mysql))]
struct LineRow {
    order_id: OrderId,
    line: u16,
    product_id: ProductId,
    quantity: u32,
    short_available: Option<u32>,
}

/// Locks what was done for orders, by id; orders for which nothing was done are left out.
pub async fn lock_holds(conn: &mut Conn, orders: &[OrderId]) -> Result<Vec<Hold>, StoreError> {
    let rows: Vec<HoldRow> = stock_orders::table
        .filter(stock_orders::order_id.eq_any(orders))
        .order(stock_orders::order_id)
        .select(HoldRow::as_select())
        .for_update()
        .load(conn)
        .await?;
    with_lines(conn, rows, orders).await
}

/// What was done for orders, by id, which nobody may change until this transaction ends; orders for which nothing was done are left
/// out.
pub async fn share_holds(conn: &mut Conn, orders: &[OrderId]) -> Result<Vec<Hold>, StoreError> {
    let rows: Vec<HoldRow> = stock_orders::table
        .filter(stock_orders::order_id.eq_any(orders))
        .order(stock_orders::order_id)
        .select(HoldRow::as_select())
        .for_share()
        .load(conn)
        .await?;
    with_lines(conn, rows, orders).await
}

async fn with_lines(
    conn: &mut Conn,
    rows: Vec<HoldRow>,
    orders: &[OrderId],
) -> Result<Vec<Hold>, StoreError> {
    let lines: Vec<LineRow> = stock_order_lines::table
        .filter(stock_order_lines::order_id.eq_any(orders))
        .order((stock_order_lines::order_id, stock_order_lines::line))
        .select(LineRow::as_select())
        .load(conn)
        .await?;
    assemble(rows, lines)
}

fn assemble(rows: Vec<HoldRow>, lines: Vec<LineRow>) -> Result<Vec<Hold>, StoreError> {
    let mut by_order: HashMap<OrderId, Vec<LineRow>> = HashMap::new();
    for line in lines {
        by_order.entry(line.order_id).or_default().push(line);
    }
    rows.into_iter()
        .map(|row| {
            let lines = by_order.remove(&row.order_id).unwrap_or_default();
            hold(&row, lines)
        })
        .collect()
}

/// What was done for the orders of a range of ids, by id, without a lock.
pub async fn holds_within(
    conn: &mut Conn,
    range: (Option<OrderId>, Option<OrderId>),
) -> Result<Vec<Hold>, StoreError> {
    let (after, to) = range;
    let mut rows = stock_orders::table
        .order(stock_orders::order_id)
        .select(HoldRow::as_select())
        .into_boxed();
    let mut lines = stock_order_lines::table
        .order((stock_order_lines::order_id, stock_order_lines::line))
        .select(LineRow::as_select())
        .into_boxed();
    if let Some(after) = after {
        rows = rows.filter(stock_orders::order_id.gt(after));
        lines = lines.filter(stock_order_lines::order_id.gt(after));
    }
    if let Some(to) = to {
        rows = rows.filter(stock_orders::order_id.le(to));
        lines = lines.filter(stock_order_lines::order_id.le(to));
    }
    let rows: Vec<HoldRow> = rows.load(conn).await?;
    let lines: Vec<LineRow> = lines.load(conn).await?;
    assemble(rows, lines)
}

/// What was done for some orders, without a lock.
pub async fn holds(conn: &mut Conn, orders: &[OrderId]) -> Result<Vec<Hold>, StoreError> {
    let rows: Vec<HoldRow> = stock_orders::table
        .filter(stock_orders::order_id.eq_any(orders))
        .select(HoldRow::as_select())
        .load(conn)
        .await?;
    with_lines(conn, rows, orders).await
}

fn hold(row: &HoldRow, rows: Vec<LineRow>) -> Result<Hold, StoreError> {
    let state =
        HoldState::from_word(&row.state).ok_or_else(|| StoreError::corrupt("state", &row.state))?;
    let (mut lines, mut shortages) = (Vec::new(), Vec::new());
    for line in rows {
        let LineRow {
            product_id,
            quantity,
            ..
        } = line;
        match line.short_available {
            None => lines.push(Units {
                product_id,
                quantity,
            }),
            Some(available) => {
                shortages.push(Shortage {
                    product_id,
                    requested: quantity,
                    available,
                });
            }
        }
    }
    Ok(Hold {
        order_id: row.order_id,
        state,
        version: row.version,
        order_version: row.order_version,
        lines,
        shortages,
    })
}

/// Saves what was done for orders: their state, and the lines of those that are new; lines never change.
pub async fn save_holds<'a>(
    conn: &mut Conn,
    holds: impl IntoIterator<Item = &'a Hold>,
    is_new: impl Fn(OrderId) -> bool,
) -> Result<(), StoreError> {
    let (mut states, mut lines) = (Vec::new(), Vec::new());
    for hold in holds {
        states.push(HoldRow {
            order_id: hold.order_id,
            state: hold.state.as_str().to_owned(),
            version: hold.version,
            order_version: hold.order_version,
        });
        if is_new(hold.order_id) {
            lines.extend(line_rows(hold));
        }
    }
    for part in parts(&states, 4) {
        diesel::insert_into(stock_orders::table)
            .values(part)
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set((
                stock_orders::state.eq(sql::<Text>("VALUES(state)")),
                stock_orders::version.eq(sql::<Unsigned<Integer>>("VALUES(version)")),
                stock_orders::order_version.eq(sql::<Unsigned<Integer>>("VALUES(order_version)")),
            ))
            .execute(conn)
            .await?;
    }
    for part in parts(&lines, 5) {
        diesel::insert_into(stock_order_lines::table)
            .values(part)
            .execute(conn)
            .await?;
    }
    Ok(())
}

fn line_rows(hold: &Hold) -> Vec<LineRow> {
    let kept = hold
        .lines
        .iter()
        .map(|units| (units.product_id, units.quantity, None));
    let short = hold.shortages.iter().map(|shortage| {
        (
            shortage.product_id,
            shortage.requested,
            Some(shortage.available),
        )
    });
    kept.chain(short)
        .zip(1..)
        .map(|((product_id, quantity, short_available), line)| LineRow {
            order_id: hold.order_id,
            line,
            product_id,
            quantity,
            short_available,
        })
        .collect()
}

#[derive(Insertable)]
#[diesel(table_name = stock_movements, check_for_backend(diesel::mysql::Mysql))]
struct MovementRow {
    product_id: ProductId,
    order_id: Option<OrderId>,
    kind: &'static str,
    quantity: i64,
    created_at: Timestamp,
}

/// Appends to the ledger, all together.
///
/// # Errors
/// [`StoreError::Duplicate`] if an order's units of a product were moved in this way before.
pub async fn append_movements(
    conn: &mut Conn,
    at: Timestamp,
    movements: &[Movement],
) -> Result<(), StoreError> {
    let rows: Vec<_> = movements
        .iter()
        .map(|movement| MovementRow {
            product_id: movement.product_id,
            order_id: movement.order_id,
            kind: movement.kind.as_str(),
            quantity: movement.quantity,
            created_at: at,
        })
        .collect();
    for part in parts(&rows, 5) {
        diesel::insert_into(stock_movements::table)
            .values(part)
            .execute(conn)
            .await?;
    }
    Ok(())
}

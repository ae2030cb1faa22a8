//! Tables `orders`, `order_items`, `order_transitions` and `payments`: an order and all that belongs to it.

mod read;
mod rows;
mod save;

pub use read::{after, any, lock, lock_many, lock_within, share_any};
pub use save::{Changed, insert, save_many};

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use diesel_async::RunQueryDsl;

use super::schema::orders;
use super::types::micros;
use super::{Conn, StoreError};
use crate::domain::{OrderId, OrderStatus, UserId};

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
    .bind::<BigInt, _>(micros(timeout))
    .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

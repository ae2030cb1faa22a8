//! Faults on purpose: without them nobody knows whether a check that finds nothing looks at anything.

use anyhow::Context;
use mongodb::bson::{Bson, Document, doc};
use mysql_async::prelude::Queryable;
use uuid::Uuid;

use super::read::{mongo, mysql};
use crate::site::Site;

/// Sets the view of a delivered order back to where it was when paid, and notes the shipping of one unit twice in the
/// ledger. Says what was done.
///
/// # Errors
/// If a server does not answer, or there is no order to spoil.
pub async fn plant(site: &Site) -> anyhow::Result<Vec<String>> {
    let set_back = set_back(site).await?;
    let mut conn = mysql::connect(&site.mysql_dsn).await?;
    let doubled: Option<(u64, String)> = conn
        .query_first("SELECT id, BIN_TO_UUID(product_id) FROM stock_movements WHERE kind = 'SHIPPED' LIMIT 1")
        .await?;
    let (movement, product) = doubled.context("no shipped unit to double")?;
    // The table's unique key keeps an order's units from being shipped twice, so the second time is without the order.
    conn.exec_drop(
        "INSERT INTO stock_movements (product_id, order_id, kind, quantity, created_at) \
         SELECT product_id, NULL, kind, quantity, created_at FROM stock_movements WHERE id = ?",
        (movement,),
    )
    .await?;
    conn.disconnect().await?;
    Ok(vec![
        format!("the view of order_{set_back} is set back to version 3"),
        format!("line {movement} of the ledger, of product_{product}, is doubled"),
    ])
}

/// Sets the view of a delivered order back to where it was when paid. Out: the order.
///
/// # Errors
/// If the server does not answer, or there is no such order.
pub async fn set_back(site: &Site) -> anyhow::Result<Uuid> {
    let database = mongo::open(&site.mongo_uri).await?;
    let orders = mongo::served(&database, "orders").await?;
    let orders = database.collection::<Document>(&orders);
    let view = orders
        .find_one(doc! { "status": "DELIVERED" })
        .await?
        .context("no delivered order to plant a fault in")?;
    let id = view.get("_id").cloned().context("a view has an _id")?;
    let back = doc! { "$set": { "version": 3_i64, "status": "PAID" } };
    orders.update_one(doc! { "_id": id.clone() }, back).await?;
    let Bson::Binary(id) = id else {
        anyhow::bail!("a view's _id is no UUID")
    };
    Ok(Uuid::from_slice(&id.bytes)?)
}

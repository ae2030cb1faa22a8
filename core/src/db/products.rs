//! Table `products`.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::products::{self, dsl as t};
use super::types::money;
use super::{Conn, StoreError};
use crate::domain::{Product, ProductId, Timestamp};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = products, treat_none_as_null = true, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    id: ProductId,
    version: u32,
    name: String,
    description: String,
    price_minor: i64,
    currency: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl From<&Product> for Row {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id,
            version: product.version,
            name: product.name.clone(),
            description: product.description.clone(),
            price_minor: product.price.minor,
            currency: product.price.currency.code().to_owned(),
            created_at: product.created_at,
            updated_at: product.updated_at,
            deleted_at: product.deleted.then_some(product.updated_at),
        }
    }
}

impl TryFrom<Row> for Product {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            version: row.version,
            name: row.name,
            description: row.description,
            price: money(row.price_minor, &row.currency)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted: row.deleted_at.is_some(),
        })
    }
}

/// Inserts a product.
pub async fn insert(conn: &mut Conn, product: &Product) -> Result<(), StoreError> {
    diesel::insert_into(products::table)
        .values(Row::from(product))
        .execute(conn)
        .await?;
    Ok(())
}

/// Saves a product that was locked before.
pub async fn save(conn: &mut Conn, product: &Product) -> Result<(), StoreError> {
    diesel::update(t::products.find(product.id))
        .set(Row::from(product))
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks a product that is not deleted, against every other change.
pub async fn lock(conn: &mut Conn, id: ProductId) -> Result<Option<Product>, StoreError> {
    let row: Option<Row> = t::products
        .find(id)
        .filter(t::deleted_at.is_null())
        .select(Row::as_select())
        .for_update()
        .first(conn)
        .await
        .optional()?;
    row.map(TryInto::try_into).transpose()
}

/// Those of the products that exist and are not deleted, without a lock.
pub async fn read_many(conn: &mut Conn, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
    let rows: Vec<Row> = t::products
        .filter(t::id.eq_any(ids).and(t::deleted_at.is_null()))
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks products, deleted or not, against changes; those that do not exist are left out.
pub async fn share_any(conn: &mut Conn, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
    let rows: Vec<Row> = t::products
        .filter(t::id.eq_any(ids))
        .order(t::id)
        .select(Row::as_select())
        .for_share()
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Products by id, deleted or not, those after `after`, without a lock.
pub async fn after(
    conn: &mut Conn,
    after: Option<ProductId>,
    limit: i64,
) -> Result<Vec<Product>, StoreError> {
    let mut page = t::products
        .order(t::id)
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = after {
        page = page.filter(t::id.gt(after));
    }
    let rows: Vec<Row> = page.load(conn).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Those of the products that exist, deleted or not, without a lock.
pub async fn any(conn: &mut Conn, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
    let rows: Vec<Row> = t::products
        .filter(t::id.eq_any(ids))
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Some products that are not deleted, the oldest first.
pub async fn first(conn: &mut Conn, limit: i64) -> Result<Vec<Product>, StoreError> {
    let rows: Vec<Row> = t::products
        .filter(t::deleted_at.is_null())
        .order(t::id)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

//! Table `users`.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::users::{self, dsl as t};
use super::{Conn, StoreError};
use crate::domain::{Timestamp, User, UserId};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true, check_for_backend(diesel::mysql::Mysql))]
struct Row {
    id: UserId,
    version: u32,
    name: String,
    email: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl From<&User> for Row {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            version: user.version,
            name: user.name.clone(),
            email: (!user.deleted).then(|| user.email.clone()),
            created_at: user.created_at,
            updated_at: user.updated_at,
            deleted_at: user.deleted.then_some(user.updated_at),
        }
    }
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            version: row.version,
            name: row.name,
            email: row.email.unwrap_or_default(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted: row.deleted_at.is_some(),
        }
    }
}

/// Inserts a user.
///
/// # Errors
/// [`StoreError::Duplicate`] if the e-mail address is another user's.
pub async fn insert(conn: &mut Conn, user: &User) -> Result<(), StoreError> {
    diesel::insert_into(users::table)
        .values(Row::from(user))
        .execute(conn)
        .await?;
    Ok(())
}

/// Saves a user that was locked before.
///
/// # Errors
/// [`StoreError::Duplicate`] if the e-mail address is another user's.
pub async fn save(conn: &mut Conn, user: &User) -> Result<(), StoreError> {
    diesel::update(t::users.find(user.id))
        .set(Row::from(user))
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks a user who is not deleted, against every other change.
pub async fn lock(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row: Option<Row> = t::users
        .find(id)
        .filter(t::deleted_at.is_null())
        .select(Row::as_select())
        .for_update()
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(Into::into))
}

/// Locks a user who is not deleted against changes, together with others who only read.
pub async fn share(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row: Option<Row> = t::users
        .find(id)
        .filter(t::deleted_at.is_null())
        .select(Row::as_select())
        .for_share()
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(Into::into))
}

/// Locks users, deleted or not, against changes; those that do not exist are left out.
pub async fn share_any(conn: &mut Conn, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = t::users
        .filter(t::id.eq_any(ids))
        .order(t::id)
        .select(Row::as_select())
        .for_share()
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Users by id, deleted or not, those after `after`, without a lock.
pub async fn after(
    conn: &mut Conn,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<User>, StoreError> {
    let mut page = t::users
        .order(t::id)
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = after {
        page = page.filter(t::id.gt(after));
    }
    let rows: Vec<Row> = page.load(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Those of the users that exist, deleted or not, without a lock.
pub async fn any(conn: &mut Conn, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = t::users
        .filter(t::id.eq_any(ids))
        .select(Row::as_select())
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Some users who are not deleted, the oldest first; tells an empty shop from one that is in use.
pub async fn first(conn: &mut Conn, limit: i64) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = t::users
        .filter(t::deleted_at.is_null())
        .order(t::id)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

//! Table `users`.

use super::once::{self, Request};
use super::{Call, CommandError, duplicate_is};
use crate::db::{Db, orders, outbox, users};
use crate::domain::refusal::{Entity, path};
use crate::domain::{Refusal, User, UserId};
use crate::events::{EventType, Payload};
use crate::runtime::ids;

/// A user to be created.
#[derive(Debug, Clone)]
pub struct CreateUser {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// A change of a user; what is `None` stays as it is.
#[derive(Debug, Clone)]
pub struct UpdateUser {
    /// Which user.
    pub id: UserId,
    /// The new name.
    pub name: Option<String>,
    /// The new e-mail address.
    pub email: Option<String>,
}

fn email_taken() -> Refusal {
    Refusal::EmailTaken {
        path: path([&"email"]),
    }
}

fn not_found(id: UserId) -> Refusal {
    Refusal::NotFound {
        path: path([&"id"]),
        entity: Entity::User(id),
    }
}

/// Creates a user.
///
/// Effects: inserts `users`; appends `user.created`.
/// Refusals: `Invalid`, `EmailTaken`; those of the key.
pub async fn create_user(db: &Db, call: &Call, cmd: CreateUser) -> Result<User, CommandError> {
    let id = UserId::from_uuid(ids::fresh());
    let user = User::create(id, call.at, &cmd.name, &cmd.email)?;
    let event = call.event(EventType::UserCreated, Payload::User(user.clone()));
    let request = Request::new("createUser")
        .with("name", &user.name)
        .with("email", &user.email);
    db.transaction("create_user", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        users::insert(tx, &user)
            .await
            .map_err(|error| duplicate_is(error, email_taken()))?;
        outbox::append(tx, db.encoding(), std::slice::from_ref(&event)).await?;
        once::keep(tx, call, user.clone()).await
    })
    .await
}

/// Changes a user. A change that changes nothing has no effect and keeps the version.
///
/// Effects: updates `users`; appends `user.updated`.
/// Refusals: `NotFound`, `Invalid`, `EmailTaken`, `VersionMismatch`; those of the key.
pub async fn update_user(db: &Db, call: &Call, cmd: UpdateUser) -> Result<User, CommandError> {
    let request = Request::new("updateUser")
        .with("id", cmd.id)
        .with_some("name", cmd.name.as_ref())
        .with_some("email", cmd.email.as_ref());
    if !call.scope.has(cmd.id) {
        return Err(not_found(cmd.id).into());
    }
    db.transaction("update_user", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let mut user = users::lock(tx, cmd.id)
            .await?
            .ok_or_else(|| not_found(cmd.id))?;
        call.check_version(user.version)?;
        if user.update(call.at, cmd.name.as_deref(), cmd.email.as_deref())? {
            users::save(tx, &user)
                .await
                .map_err(|error| duplicate_is(error, email_taken()))?;
            let event = call.event(EventType::UserUpdated, Payload::User(user.clone()));
            outbox::append(tx, db.encoding(), &[event]).await?;
        }
        once::keep(tx, call, user).await
    })
    .await
}

/// Deletes a user and scrubs name and e-mail address.
///
/// Their orders, all of them final by then, keep the name that was on them: an order is a record of a sale. `delete_order` takes it off.
///
/// Effects: updates `users`; appends `user.deleted`.
/// Refusals: `NotFound`, `UserHasOpenOrders`, `VersionMismatch`; those of the key.
pub async fn delete_user(db: &Db, call: &Call, id: UserId) -> Result<User, CommandError> {
    let request = Request::new("deleteUser").with("id", id);
    if !call.scope.has(id) {
        return Err(not_found(id).into());
    }
    db.transaction("delete_user", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        // With this lock no order can be placed for the user meanwhile: `create_order` shares it.
        let mut user = users::lock(tx, id).await?.ok_or_else(|| not_found(id))?;
        call.check_version(user.version)?;
        let open = orders::count_open(tx, id).await?;
        if open > 0 {
            return Err(Refusal::UserHasOpenOrders { user: id, open }.into());
        }
        user.delete(call.at);
        users::save(tx, &user).await?;
        let event = call.event(EventType::UserDeleted, Payload::User(user.clone()));
        outbox::append(tx, db.encoding(), &[event]).await?;
        once::keep(tx, call, user).await
    })
    .await
}

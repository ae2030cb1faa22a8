//! Queries of users.

use async_graphql::{Context, ID, InputObject, Object, Result};
use shop_core::views::{self, UserCursor};

use super::fresh;
use crate::graphql::error::{ApiError, Nullable, nullable};
use crate::graphql::model::{Connection, GlobalId, PageArgs, User};
use crate::graphql::scalar::Int;
use crate::graphql::{ContextExt as _, Limits};

/// Which users a list shows.
#[derive(Debug, Default, InputObject)]
pub struct UserFilter {
    /// Only the user with this e-mail address, compared without case.
    email: Option<String>,
}

impl From<UserFilter> for views::UserFilter {
    fn from(filter: UserFilter) -> Self {
        Self {
            email: filter.email,
        }
    }
}

/// Queries of users.
#[derive(Debug, Default)]
pub(super) struct UserQuery;

#[Object]
impl UserQuery {
    /// A user; null if there is none with this id, or not any more, or if a customer asks for another one.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id.")] id: ID,
        #[graphql(
            desc = "A version that a mutation returned: the query waits for it, a second or two at most, and else ends with the error NOT_YET, which is retryable."
        )]
        min_version: Option<Int>,
    ) -> Nullable<User> {
        let find = async || {
            let Some(id) = GlobalId::parse("id", &id)?.user() else {
                return Ok(None);
            };
            fresh::wait(ctx, GlobalId::User(id), min_version).await?;
            ctx.loaders().users.load_one(id).await
        };
        nullable(find().await)
    }

    /// The users, newest first. For staff.
    #[graphql(complexity = "Limits::page_cost(first, last, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many at most, from the beginning: 0 to 100. 20 if neither this nor `last` is given."
        )]
        first: Option<Int>,
        #[graphql(desc = "Only what follows this cursor.")] after: Option<String>,
        #[graphql(desc = "How many at most, from the end: 0 to 100. Not together with `first`.")]
        last: Option<Int>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only users that match.")] filter: Option<UserFilter>,
    ) -> Result<Connection<User>> {
        let page = PageArgs {
            first,
            after,
            last,
            before,
        }
        .parse(UserCursor::decode)?;
        let filter = filter.unwrap_or_default().into();
        let users = ctx
            .views()
            .list_users(&filter, page)
            .await
            .map_err(ApiError::from)?;
        Ok(Connection::new(users, |user| UserCursor::of(user).encode()))
    }
}

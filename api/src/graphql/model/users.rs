//! Users.

use async_graphql::{Context, ID, Object, Result};
use shop_core::domain;

use super::{Connection, Order, PageArgs};
use crate::graphql::query::OrderFilter;
use crate::graphql::scalar::{DateTime, Int};
use crate::graphql::{Limits, query};

/// A user of the shop, who is the customer of orders.
#[derive(Debug, Clone)]
pub struct User(pub domain::User);

impl From<domain::User> for User {
    fn from(user: domain::User) -> Self {
        Self(user)
    }
}

/// A user of the shop, who is the customer of orders.
#[Object]
impl User {
    /// The id: `user_` and a UUID.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The number of changes so far; 1 for a new user.
    async fn version(&self) -> Int {
        self.0.version.into()
    }

    /// The name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The e-mail address, as the user wrote it. Unique without case.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// When the user was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the user changed last.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// The user's orders, newest first.
    #[graphql(complexity = "Limits::page_cost(first, last, child_complexity)")]
    async fn orders(
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
        #[graphql(desc = "Only orders that match; `customerId` must be this user's, if given.")]
        filter: Option<OrderFilter>,
    ) -> Result<Connection<Order>> {
        let page = PageArgs {
            first,
            after,
            last,
            before,
        };
        query::orders_of(ctx, Some(self.0.id), page, filter).await
    }
}

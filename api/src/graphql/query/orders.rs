//! Queries of orders.

use async_graphql::{Context, ID, InputObject, Object, Result};
use shop_core::domain::{self, Scope, Timestamp, UserId};
use shop_core::runtime::clock;
use shop_core::views::{self, OrderCursor, Page};

use super::fresh;
use crate::graphql::error::{ApiError, Nullable, nullable};
use crate::graphql::model::{Connection, GlobalId, Order, OrderStatus, PageArgs};
use crate::graphql::scalar::{DateTime, Int};
use crate::graphql::{ContextExt as _, Limits};

/// Which orders a list shows.
#[derive(Debug, Default, InputObject)]
pub struct OrderFilter {
    /// Only orders of this user.
    customer_id: Option<ID>,
    /// Only orders in one of these statuses; an empty list means any.
    statuses: Option<Vec<OrderStatus>>,
}

impl OrderFilter {
    /// Reads it for a feed, which has to be of a user.
    ///
    /// # Errors
    /// [`ApiError::BadUserInput`].
    pub fn parse(self) -> Result<views::OrderFilter, ApiError> {
        let user = |id: ID| {
            let argument = "filter.customerId";
            let user = GlobalId::parse(argument, &id)?.user();
            user.ok_or_else(|| ApiError::bad_input(argument, "expected the id of a user"))
        };
        let statuses = self.statuses.unwrap_or_default();
        Ok(views::OrderFilter {
            customer_id: self.customer_id.map(user).transpose()?,
            statuses: statuses.into_iter().map(Into::into).collect(),
        })
    }
}

/// A page of orders, of one customer or of all.
///
/// # Errors
/// [`ApiError`] of the arguments and of the views.
pub async fn orders_of(
    ctx: &Context<'_>,
    customer: Option<UserId>,
    page: PageArgs,
    filter: Option<OrderFilter>,
) -> Result<Connection<Order>> {
    let page = page.parse(OrderCursor::decode)?;
    let filter = filter.unwrap_or_default();
    let asked = filter
        .customer_id
        .map(|id| GlobalId::parse("filter.customerId", &id))
        .transpose()?;
    let statuses = filter
        .statuses
        .unwrap_or_default()
        .into_iter()
        .map(Into::into)
        .collect();
    let customer_id = match asked {
        // Another kind of id, or another user's where one is given by the field, matches nothing.
        Some(asked)
            if asked.user().is_none() || customer.is_some_and(|id| asked.user() != Some(id)) =>
        {
            return Ok(Connection::new(nothing(), |order| {
                OrderCursor::of(order).encode()
            }));
        }
        Some(asked) => asked.user(),
        None => customer,
    };
    let customer_id = match (ctx.scope(), customer_id) {
        (Scope::Of(own), None) => Some(own),
        // Nobody is looked for: neither whom the shop knows nor whom it does not.
        (scope, Some(id)) if !scope.has(id) => {
            return Ok(Connection::new(nothing(), |order| {
                OrderCursor::of(order).encode()
            }));
        }
        (_, asked) => asked,
    };
    let filter = views::OrderFilter {
        customer_id,
        statuses,
    };
    let orders = ctx
        .views()
        .list_orders(&filter, page)
        .await
        .map_err(ApiError::from)?;
    Ok(Connection::new(orders, |order| {
        OrderCursor::of(order).encode()
    }))
}

/// An order as it stood at a time. Whatever the clock says, no time that its timeline has reached is yet to come.
fn as_of(order: &domain::Order, at: Timestamp, now: Timestamp) -> Result<domain::Order, ApiError> {
    if at > now.max(order.updated_at) {
        return Err(ApiError::InTheFuture { at, now });
    }
    if at < order.created_at {
        return Err(ApiError::BeforeCreation {
            id: order.id,
            created_at: order.created_at,
        });
    }
    order.at_time(at).ok_or_else(|| {
        let problem = anyhow::anyhow!("the timeline of {} has no first entry", order.id);
        ApiError::internal(problem)
    })
}

const fn nothing<T>() -> Page<T> {
    Page {
        items: Vec::new(),
        has_next: false,
        has_previous: false,
    }
}

/// Queries of orders.
#[derive(Debug, Default)]
pub(super) struct OrderQuery;

#[Object]
impl OrderQuery {
    /// An order; null if there is none with this id, or not any more, or if it is somebody else's.
    async fn order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id.")] id: ID,
        #[graphql(
            desc = "The order as it stood then, by its timeline. A time before it was placed is the error BEFORE_CREATION, one that has not come yet the error IN_THE_FUTURE."
        )]
        at: Option<DateTime>,
        #[graphql(
            desc = "A version that a mutation returned: the query waits for it, a second or two at most, and else ends with the error NOT_YET, which is retryable."
        )]
        min_version: Option<Int>,
    ) -> Nullable<Order> {
        let find = async || {
            let Some(id) = GlobalId::parse("id", &id)?.order() else {
                return Ok(None);
            };
            fresh::wait(ctx, GlobalId::Order(id), min_version).await?;
            let order = ctx.views().reach(ctx.scope()).order(id).await?;
            match (order, at) {
                (Some(order), Some(DateTime(at))) => Ok(Some(as_of(&order, at, clock::now())?)),
                (order, _) => Ok(order),
            }
        };
        nullable(find().await)
    }

    /// The orders, newest first; a customer's own.
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
        #[graphql(desc = "Only orders that match.")] filter: Option<OrderFilter>,
    ) -> Result<Connection<Order>> {
        orders_of(
            ctx,
            None,
            PageArgs {
                first,
                after,
                last,
                before,
            },
            filter,
        )
        .await
    }
}

//! Anything by its id.

use std::collections::HashMap;

use async_graphql::{Context, ID, Object, Result};
use shop_core::domain::OrderId;
use shop_core::domain::limits::NODES_MAX;

use crate::graphql::ContextExt as _;
use crate::graphql::error::{ApiError, Nullable, nullable};
use crate::graphql::model::{GlobalId, Node, Order};

/// Queries of anything.
#[derive(Debug, Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its id; null if there is nothing with this id, or not any more, or if it is somebody else's.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id of a user, a product or an order.")] id: ID,
    ) -> Nullable<Node> {
        let find = async || {
            Ok(load(ctx, &[GlobalId::parse("id", &id)?])
                .await?
                .pop()
                .flatten())
        };
        nullable::<Node, _>(find().await)
    }

    /// Things by their ids, each at its id's place; null where there is nothing.
    #[graphql(complexity = "ids.len().saturating_mul(child_complexity).saturating_add(1)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Ids of users, products and orders, at most 100.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        if ids.len() > NODES_MAX {
            let problem = format!("must be at most {NODES_MAX} ids, not {}", ids.len());
            return Err(ApiError::bad_input("ids", problem).into());
        }
        let ids: Vec<_> = ids
            .iter()
            .map(|id| GlobalId::parse("ids", id))
            .collect::<Result<_, _>>()?;
        Ok(load(ctx, &ids).await?)
    }
}

async fn load(ctx: &Context<'_>, ids: &[GlobalId]) -> Result<Vec<Option<Node>>, ApiError> {
    let loaders = ctx.loaders();
    let order_ids: Vec<_> = ids.iter().filter_map(|id| id.order()).collect();
    let (users, products, orders) = futures::try_join!(
        loaders
            .users
            .load_many(ids.iter().filter_map(|id| id.user())),
        loaders
            .products
            .load_many(ids.iter().filter_map(|id| id.product())),
        async {
            let orders = ctx.views().reach(ctx.scope()).orders(&order_ids).await?;
            Ok(orders
                .into_iter()
                .map(|order| (order.id, order.into()))
                .collect())
        },
    )?;
    let orders: HashMap<OrderId, Order> = orders;
    let found = |id: &GlobalId| match *id {
        GlobalId::User(id) => users.get(&id).cloned().map(|user| Node::User(user.into())),
        GlobalId::Product(id) => products
            .get(&id)
            .cloned()
            .map(|found| Node::Product(found.into())),
        GlobalId::Order(id) => orders.get(&id).cloned().map(Node::Order),
    };
    Ok(ids.iter().map(found).collect())
}

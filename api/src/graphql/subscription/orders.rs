//! Live status of orders.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, Subscription};
use futures::{Stream, stream};
use shop_core::domain;
use shop_core::domain::order::TimelineEntry;

use crate::graphql::ContextExt as _;
use crate::graphql::error::ApiError;
use crate::graphql::model::{GlobalId, Order, OrderStatus};
use crate::graphql::scalar::{DateTime, Int};
use crate::live::Watch;

/// One version of an order, as a watcher is told.
#[derive(Debug, Clone)]
pub struct OrderStatusChange {
    order: Arc<domain::Order>,
    entry: TimelineEntry,
}

impl OrderStatusChange {
    fn new(order: Arc<domain::Order>) -> Result<Self, ApiError> {
        let entry = order.timeline.last().cloned().ok_or_else(|| {
            ApiError::internal(anyhow::anyhow!("the timeline of {} is empty", order.id))
        })?;
        Ok(Self { order, entry })
    }
}

/// One version of an order: where it stood and how it got there.
#[Object]
impl OrderStatusChange {
    /// The order's id.
    async fn order_id(&self) -> ID {
        self.order.id.to_string().into()
    }

    /// The version; the next item's is greater by 1.
    async fn version(&self) -> Int {
        self.order.version.into()
    }

    /// The status before; null for version 1.
    async fn previous_status(&self) -> Option<OrderStatus> {
        self.entry.from.map(Into::into)
    }

    /// The status of this version; equal to the one before where only a payment was noted.
    async fn status(&self) -> OrderStatus {
        self.order.status.into()
    }

    /// Why, in words.
    async fn reason(&self) -> Option<&str> {
        self.entry.reason.as_deref()
    }

    /// When.
    async fn at(&self) -> DateTime {
        DateTime(self.entry.at)
    }

    /// The order as of this version.
    async fn order(&self) -> Order {
        Order(Arc::clone(&self.order))
    }
}

/// The subscriptions, over WebSocket by the protocol `graphql-transport-ws`.
pub struct Subscription;

/// The subscriptions, over WebSocket by the protocol `graphql-transport-ws`.
#[Subscription]
impl Subscription {
    /// The status of one order: at once where it stands, then every newer version exactly once and in order. An order
    /// that was created a moment ago is waited for. Ends when the order is deleted.
    #[expect(
        clippy::unused_async,
        reason = "async-graphql takes async functions only"
    )]
    async fn order_status_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id.")] order_id: ID,
    ) -> Result<impl Stream<Item = Result<OrderStatusChange>> + use<>> {
        let Some(id) = GlobalId::parse("orderId", &order_id)?.order() else {
            return Err(ApiError::NotFound(order_id.to_string()).into());
        };
        let watch = Watch::new(&ctx.app().hub, ctx.views().clone(), id);
        Ok(stream::unfold(watch, async |mut watch| {
            let change = watch.next().await?.and_then(OrderStatusChange::new);
            Some((change.map_err(Into::into), watch))
        }))
    }
}

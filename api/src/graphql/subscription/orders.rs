//! Live status of orders.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, Subscription};
use futures::{Stream, StreamExt as _};
use shop_core::domain;
use shop_core::domain::order::TimelineEntry;

use super::sharing::{Told, shared};
use super::{EventIds, UpdateKind, count, counter, resumed};
use crate::graphql::ContextExt as _;
use crate::graphql::error::ApiError;
use crate::graphql::model::{GlobalId, Order, OrderStatus};
use crate::graphql::scalar::{DateTime, Int};
use crate::identity::Role;
use crate::live::cursor::OrderPlace;
use crate::live::{Change, Watch};

/// What the metrics call the stream.
const STREAM: &str = "orderStatusChanged";

/// One version of an order, as a watcher is told.
#[derive(Debug, Clone)]
pub struct OrderStatusChange {
    kind: UpdateKind,
    /// Its timeline has an entry.
    order: Arc<domain::Order>,
}

impl OrderStatusChange {
    pub(super) fn new(change: Change) -> Result<Self, ApiError> {
        let Change { kind, order, .. } = change;
        if order.timeline.is_empty() {
            let problem = anyhow::anyhow!("the timeline of {} is empty", order.id);
            return Err(ApiError::internal(problem));
        }
        let kind = kind.into();
        Ok(Self { kind, order })
    }

    fn entry(&self) -> Option<&TimelineEntry> {
        self.order.timeline.last()
    }

    fn cursor(&self) -> String {
        OrderPlace::of(&self.order).encode(self.order.id)
    }
}

/// One version of an order: where it stood and how it got there.
#[Object]
impl OrderStatusChange {
    /// Where this item stands in the order's stream: `orderStatusChanged(after:)` goes on from it. It stays good.
    #[graphql(name = "cursor")]
    async fn place(&self) -> String {
        self.cursor()
    }

    /// Why it is told.
    async fn kind(&self) -> UpdateKind {
        self.kind
    }

    /// The order's id.
    async fn order_id(&self) -> ID {
        self.order.id.to_string().into()
    }

    /// The version; the next item's is greater by 1, unless that is a `RESYNC`.
    async fn version(&self) -> Int {
        self.order.version.into()
    }

    /// The status before; null for version 1.
    async fn previous_status(&self) -> Option<OrderStatus> {
        self.entry()?.from.map(Into::into)
    }

    /// The status of this version; equal to the one before where only a payment was noted.
    async fn status(&self) -> OrderStatus {
        self.order.status.into()
    }

    /// Why, in words.
    async fn reason(&self) -> Option<&str> {
        self.entry()?.reason.as_deref()
    }

    /// When.
    async fn at(&self) -> DateTime {
        DateTime(self.entry().map_or(self.order.updated_at, |entry| entry.at))
    }

    /// The order as of this version.
    async fn order(&self) -> Order {
        Order(Arc::clone(&self.order))
    }
}

/// Subscriptions of single orders.
#[derive(Debug, Default)]
pub(super) struct OrderSubscription;

#[Subscription]
impl OrderSubscription {
    /// The status of one order: at once where it stands, then every newer version exactly once and in order. With `after`
    /// what was missed comes first, in order, instead of where it stands. An order that was created a moment ago is waited
    /// for. Ends when the order is deleted.
    #[expect(
        clippy::unused_async,
        reason = "async-graphql takes async functions only"
    )]
    async fn order_status_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id.")] order_id: ID,
        #[graphql(
            desc = "The `cursor` of the last item that the client has, of any stream of this order from any copy of the server. One that is no cursor of this order, or ahead of it, is the error INVALID_CURSOR; one that leads nowhere any more gives an item of kind `RESYNC`. A server-sent events client's `Last-Event-ID` goes before it."
        )]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<OrderStatusChange>> + use<>> {
        shared(ctx, || {
            let Some(id) = GlobalId::parse("orderId", &order_id)?.order() else {
                return Err(ApiError::NotFound(order_id.to_string()).into());
            };
            let after = resumed(ctx, after)
                .map(|text| OrderPlace::decode(&text, id).map_err(ApiError::bad_cursor))
                .transpose()?;
            let (orders, views) = (&ctx.app().live.orders, ctx.views().clone());
            let watch = Watch::new(orders, views, ctx.scope(), id, after);
            let identity = ctx.identity().clone();
            let ids = ctx.data_opt::<EventIds>().cloned();
            let live = counter(STREAM, UpdateKind::Live);
            Ok(watch.map(move |change| {
                // A token may have shrunk since the stream began.
                let change = change.and_then(|change| {
                    let scope = identity.caller().scope(Role::Staff);
                    let is_reached = scope.has_order(&change.order);
                    is_reached
                        .then_some(change)
                        .ok_or(ApiError::NotFound(id.to_string()))
                });
                let published = change.as_ref().ok().and_then(|it| it.published.clone());
                let item = change.and_then(OrderStatusChange::new);
                if let Ok(change) = &item {
                    match change.kind {
                        UpdateKind::Live => live.increment(1),
                        kind => count(STREAM, kind),
                    }
                    if let Some(ids) = &ids {
                        ids.tell(&change.cursor());
                    }
                }
                Told { item, published }
            }))
        })
    }
}

//! Live updates of many orders.

use async_graphql::{Context, Object, Subscription};
use futures::{Stream, stream};
use shop_core::domain::{Scope, Timestamp, UserId};
use shop_core::views::OrderFilter;
use uuid::Uuid;

use super::orders::OrderStatusChange;
use super::{EventIds, UpdateKind, count, resumed};
use crate::graphql::ContextExt as _;
use crate::graphql::error::ApiError;
use crate::graphql::query::OrderFilter as Filter;
use crate::graphql::scalar::DateTime;
use crate::identity::{Identity, Role};
use crate::live::cursor::TopicPlace;
use crate::live::updates::Item;
use crate::live::{Change, Follower};

/// An item of a feed of many orders.
#[derive(Debug, Clone)]
pub struct OrderUpdate {
    kind: UpdateKind,
    cursor: String,
    change: Option<OrderStatusChange>,
    since: Option<Timestamp>,
}

impl OrderUpdate {
    fn new(item: Item) -> Result<Self, ApiError> {
        let kind = item.kind;
        let change = item.order.map(|order| Change::own(kind, order));
        Ok(Self {
            kind: kind.into(),
            cursor: item.place.encode(),
            change: change.map(OrderStatusChange::new).transpose()?,
            since: item.since,
        })
    }
}

/// An item of a feed of many orders: a new version of one of them, or word of the feed itself.
#[Object]
impl OrderUpdate {
    /// Why it is told. `BEGIN` and `RESYNC` are about the feed, and have no `change`.
    async fn kind(&self) -> UpdateKind {
        self.kind
    }

    /// Where this item stands in the feed: `orderUpdates(after:)` goes on from it. It stays good for a day.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The order's new version. Each order's come in order; one that came before, by its id and version, may come again.
    async fn change(&self) -> Option<&OrderStatusChange> {
        self.change.as_ref()
    }

    /// Of a `RESYNC`: since about when updates may be missing, if that is known. Ask for the orders again.
    async fn since(&self) -> Option<DateTime> {
        self.since.map(DateTime)
    }
}

/// A filter as far as a scope reaches. Whoever asks for another customer's orders follows a customer that has none.
fn own(filter: OrderFilter, scope: Scope) -> OrderFilter {
    let Scope::Of(own) = scope else {
        return filter;
    };
    let asked = filter.customer_id.unwrap_or(own);
    let nobody = UserId::from_uuid(Uuid::nil());
    OrderFilter {
        customer_id: Some(if asked == own { own } else { nobody }),
        ..filter
    }
}

/// The next item that is within reach: a token may have shrunk since the stream began.
async fn next(follower: &mut Follower, identity: &Identity) -> Option<Result<Item, ApiError>> {
    loop {
        let item = follower.next().await?;
        let scope = identity.caller().scope(Role::Staff);
        let order = item.as_ref().ok().and_then(|item| item.order.as_ref());
        if order.is_none_or(|order| scope.has_order(order)) {
            return Some(item);
        }
    }
}

/// Subscriptions of many orders.
#[derive(Debug, Default)]
pub(super) struct UpdateSubscription;

#[Subscription]
impl UpdateSubscription {
    /// Every new version of every order that matches, a customer's own or anybody's for staff, from now on, without a snapshot. With `after` what was missed comes
    /// first. Nothing is left out; something may come twice, above all across a reconnect. Deletions are not told.
    #[expect(
        clippy::unused_async,
        reason = "async-graphql takes async functions only"
    )]
    async fn order_updates(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only versions that match: that have one of these statuses, of this customer."
        )]
        filter: Option<Filter>,
        #[graphql(
            desc = "The `cursor` of the last item that the client has, from any copy of the server. What is no cursor of this feed is the error INVALID_CURSOR; one that is too old, or whose feed was made anew, gives an item of kind `RESYNC`. A server-sent events client's `Last-Event-ID` goes before it."
        )]
        after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<OrderUpdate>> + use<>> {
        let filter = own(filter.unwrap_or_default().parse()?, ctx.scope());
        let identity = ctx.identity().clone();
        let after = resumed(ctx, after)
            .map(|text| TopicPlace::decode(&text).map_err(ApiError::bad_cursor))
            .transpose()?;
        let live = &ctx.app().live;
        let follower = Follower::new(&live.updates, live.log.clone(), filter, after);
        let ids = ctx.data_opt::<EventIds>().cloned();
        Ok(stream::unfold(
            (follower, ids, identity),
            async |(mut follower, ids, identity)| {
                let update = next(&mut follower, &identity)
                    .await?
                    .and_then(OrderUpdate::new);
                if let Ok(update) = &update {
                    count("orderUpdates", update.kind);
                    if let Some(ids) = &ids {
                        ids.tell(&update.cursor);
                    }
                }
                Some((update.map_err(Into::into), (follower, ids, identity)))
            },
        ))
    }
}

//! Live levels of stock.

use async_graphql::{Context, ID, Object, Result, Subscription};
use futures::{Stream, stream};
use shop_core::domain;

use super::{UpdateKind, count};
use crate::graphql::ContextExt as _;
use crate::graphql::error::ApiError;
use crate::graphql::model::{GlobalId, StockLevel};
use crate::live::StockWatch;

/// A product's level, as a watcher is told.
#[derive(Debug, Clone, Copy)]
pub struct StockLevelChange {
    kind: UpdateKind,
    level: domain::StockLevel,
}

/// How much there is of a product now.
#[Object]
impl StockLevelChange {
    /// Why it is told: `SNAPSHOT` or `LIVE`.
    async fn kind(&self) -> UpdateKind {
        self.kind
    }

    /// The product's id.
    async fn product_id(&self) -> ID {
        self.level.product_id.to_string().into()
    }

    /// How much there is. Its version is greater than that of the item before, by 1 or more.
    async fn stock(&self) -> StockLevel {
        self.level.into()
    }
}

/// Subscriptions of stock.
#[derive(Debug, Default)]
pub(super) struct StockSubscription;

#[Subscription]
impl StockSubscription {
    /// How much there is of a product: at once as it is, then whenever it changes. Only the latest level is told; what was
    /// replaced before it could be told is left out. A product that was created a moment ago is waited for. Of a deleted
    /// product nothing is available.
    #[expect(
        clippy::unused_async,
        reason = "async-graphql takes async functions only"
    )]
    async fn stock_level_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product's id.")] product_id: ID,
    ) -> Result<impl Stream<Item = Result<StockLevelChange>> + use<>> {
        let Some(id) = GlobalId::parse("productId", &product_id)?.product() else {
            return Err(ApiError::NotFound(product_id.to_string()).into());
        };
        let watch = StockWatch::new(&ctx.app().live.stock, ctx.views().clone(), id);
        Ok(stream::unfold(watch, async |mut watch| {
            let told = watch.next().await?;
            let change = told.map(|(kind, level)| StockLevelChange {
                kind: kind.into(),
                level,
            });
            if let Ok(change) = &change {
                count("stockLevelChanged", change.kind);
            }
            Some((change.map_err(Into::into), watch))
        }))
    }
}

//! Queries of products.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use shop_core::views::{self, ProductCursor};

use super::fresh;
use crate::graphql::error::{ApiError, Nullable, nullable};
use crate::graphql::model::{Connection, GlobalId, PageArgs, Product};
use crate::graphql::scalar::Int;
use crate::graphql::{ContextExt as _, Limits};

/// Which products a list shows.
#[derive(Debug, Default, InputObject)]
pub struct ProductFilter {
    /// Only products whose name contains this text, compared without case.
    name_contains: Option<String>,
}

impl From<ProductFilter> for views::ProductFilter {
    fn from(filter: ProductFilter) -> Self {
        Self {
            name_contains: filter.name_contains,
        }
    }
}

/// The order of a list of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "views::ProductSort")]
pub enum ProductSort {
    /// Newest first.
    Newest,
    /// By name, without case.
    Name,
    /// By currency, then by price, lowest first.
    Price,
}

/// Queries of products.
#[derive(Debug, Default)]
pub(super) struct ProductQuery;

#[Object]
impl ProductQuery {
    /// A product; null if there is none with this id, or not any more.
    async fn product(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product's id.")] id: ID,
        #[graphql(
            desc = "A version that a mutation returned: the query waits for it, a second or two at most, and else ends with the error NOT_YET, which is retryable."
        )]
        min_version: Option<Int>,
    ) -> Nullable<Product> {
        let find = async || {
            let Some(id) = GlobalId::parse("id", &id)?.product() else {
                return Ok(None);
            };
            fresh::wait(ctx, GlobalId::Product(id), min_version).await?;
            ctx.loaders().products.load_one(id).await
        };
        nullable(find().await)
    }

    /// The products of the catalogue.
    #[graphql(complexity = "Limits::page_cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of a Relay connection"
    )]
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many at most, from the beginning: 0 to 100. 20 if neither this nor `last` is given."
        )]
        first: Option<Int>,
        #[graphql(
            desc = "Only what follows this cursor, which must come from a list with the same `sort`."
        )]
        after: Option<String>,
        #[graphql(desc = "How many at most, from the end: 0 to 100. Not together with `first`.")]
        last: Option<Int>,
        #[graphql(
            desc = "Only what comes before this cursor, which must come from a list with the same `sort`."
        )]
        before: Option<String>,
        #[graphql(desc = "Only products that match.")] filter: Option<ProductFilter>,
        #[graphql(desc = "The list's order.", default_with = "ProductSort::Newest")]
        sort: ProductSort,
    ) -> Result<Connection<Product>> {
        let sort = sort.into();
        let page = PageArgs {
            first,
            after,
            last,
            before,
        };
        let page = page.parse(|text| ProductCursor::decode(sort, text))?;
        let filter = filter.unwrap_or_default().into();
        let products = ctx
            .views()
            .list_products(&filter, sort, page)
            .await
            .map_err(ApiError::from)?;
        Ok(Connection::new(products, |product| {
            ProductCursor::of(sort, product).encode()
        }))
    }
}

//! Batches what hangs off lists: one look into a collection per kind of thing and level, however many ask.
//!
//! Made anew for each request, so that nothing is seen twice as old or by somebody else.

use std::collections::HashMap;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use shop_core::domain::{Product, ProductId, Scope, StockLevel, User, UserId};
use shop_core::views::{ViewError, Views};

use super::error::ApiError;

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        if error.is_retryable() {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

/// The loaders of one request.
pub struct Loaders {
    /// Users by id.
    pub users: DataLoader<UserLoader>,
    /// Products by id.
    pub products: DataLoader<ProductLoader>,
    /// Stock levels by the product's id.
    pub stock_levels: DataLoader<StockLevelLoader>,
}

impl Loaders {
    /// Loaders over the views, of users as far as a scope reaches.
    pub fn new(views: &Views, scope: Scope) -> Self {
        Self {
            users: loader(UserLoader(views.clone(), scope)),
            products: loader(ProductLoader(views.clone())),
            stock_levels: loader(StockLevelLoader(views.clone())),
        }
    }
}

/// Without the usual wait of a millisecond per level: siblings are resolved in one go, so they meet anyway.
fn loader<T>(loads: T) -> DataLoader<T> {
    DataLoader::new(loads, tokio::spawn).delay(Duration::ZERO)
}

/// Loads users. One beyond the scope is not asked for.
pub struct UserLoader(Views, Scope);

impl Loader<UserId> for UserLoader {
    type Value = User;
    type Error = ApiError;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, User>, ApiError> {
        let own: Vec<UserId> = ids.iter().copied().filter(|id| self.1.has(*id)).collect();
        let users = self.0.users(&own).await?;
        Ok(users.into_iter().map(|user| (user.id, user)).collect())
    }
}

/// Loads products.
pub struct ProductLoader(Views);

impl Loader<ProductId> for ProductLoader {
    type Value = Product;
    type Error = ApiError;

    async fn load(&self, ids: &[ProductId]) -> Result<HashMap<ProductId, Product>, ApiError> {
        let products = self.0.products(ids).await?;
        Ok(products
            .into_iter()
            .map(|product| (product.id, product))
            .collect())
    }
}

/// Loads stock levels.
pub struct StockLevelLoader(Views);

impl Loader<ProductId> for StockLevelLoader {
    type Value = StockLevel;
    type Error = ApiError;

    async fn load(&self, ids: &[ProductId]) -> Result<HashMap<ProductId, StockLevel>, ApiError> {
        let levels = self.0.stock_levels(ids).await?;
        Ok(levels
            .into_iter()
            .map(|level| (level.product_id, level))
            .collect())
    }
}

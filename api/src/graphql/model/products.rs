//! Products and their stock.

use async_graphql::{Context, ID, Object};
use shop_core::domain;

use super::Money;
use crate::graphql::ContextExt as _;
use crate::graphql::error::{Nullable, nullable};
use crate::graphql::scalar::{DateTime, Int};

/// A product of the catalogue.
#[derive(Debug, Clone)]
pub struct Product {
    product: domain::Product,
    /// Known already where a command has just written it.
    stock: Option<domain::StockLevel>,
}

impl Product {
    /// A product together with its stock level.
    pub const fn with_stock(product: domain::Product, stock: domain::StockLevel) -> Self {
        Self {
            product,
            stock: Some(stock),
        }
    }
}

impl From<domain::Product> for Product {
    fn from(product: domain::Product) -> Self {
        Self {
            product,
            stock: None,
        }
    }
}

/// A product of the catalogue.
#[Object]
impl Product {
    /// The id: `product_` and a UUID.
    pub async fn id(&self) -> ID {
        self.product.id.to_string().into()
    }

    /// The number of changes so far; 1 for a new product. Its stock has a version of its own.
    async fn version(&self) -> Int {
        self.product.version.into()
    }

    /// The name.
    async fn name(&self) -> &str {
        &self.product.name
    }

    /// The description; may be empty.
    async fn description(&self) -> &str {
        &self.product.description
    }

    /// What one unit costs now. An order keeps the price of the time when it was placed.
    async fn price(&self) -> Money {
        self.product.price.into()
    }

    /// How much of it there is. Null for a moment after the product was created.
    async fn stock(&self, ctx: &Context<'_>) -> Nullable<StockLevel> {
        nullable(match self.stock {
            Some(level) => Ok(Some(level)),
            None => ctx.loaders().stock_levels.load_one(self.product.id).await,
        })
    }

    /// When the product was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.product.created_at)
    }

    /// When the product changed last.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.product.updated_at)
    }
}

/// How much of a product there is.
#[derive(Debug, Clone, Copy)]
pub struct StockLevel(pub domain::StockLevel);

impl From<domain::StockLevel> for StockLevel {
    fn from(level: domain::StockLevel) -> Self {
        Self(level)
    }
}

/// How much of a product there is.
#[Object]
impl StockLevel {
    /// The number of changes so far.
    async fn version(&self) -> Int {
        self.0.version.into()
    }

    /// Units in the warehouse.
    async fn on_hand(&self) -> Int {
        self.0.on_hand.into()
    }

    /// Units of them that are held for orders.
    async fn reserved(&self) -> Int {
        self.0.reserved.into()
    }

    /// Units that can still be ordered.
    async fn available(&self) -> Int {
        self.0.available().into()
    }
}

//! Mutations of products and of their stock.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use shop_core::commands::products::{self, CreateProduct, UpdateProduct};
use shop_core::commands::stock::{self, AdjustStock, AdjustmentReason};
use shop_core::domain;
use shop_core::domain::Refusal;
use shop_core::domain::product::ProductChange;

use super::terms::{ChangeTerms, CreationTerms};
use super::{answer, parse_id, split};
use crate::graphql::ContextExt as _;
use crate::graphql::model::{MoneyInput, MutationError, Product, StockLevel};
use crate::graphql::scalar::Int;

/// A product to be created.
#[derive(Debug, InputObject)]
struct CreateProductInput {
    /// The name, 1 to 200 characters.
    name: String,
    /// The description, at most 5,000 characters; empty if it is left out.
    description: Option<String>,
    /// What one unit costs; 0 or more.
    price: MoneyInput,
    /// Units in the warehouse to begin with; 0 or more.
    #[graphql(default = 0)]
    stock: Int,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: CreationTerms,
}

impl CreateProductInput {
    fn parse(self) -> Result<CreateProduct, Refusal> {
        Ok(CreateProduct {
            price: self.price.parse(&["price"])?,
            name: self.name,
            description: self.description.unwrap_or_default(),
            stock: self.stock,
        })
    }
}

/// What became of `createProduct`.
#[derive(Debug, SimpleObject)]
struct CreateProductPayload {
    /// The new product; null if refused.
    product: Option<Product>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

type NewProduct = (domain::Product, domain::StockLevel);

impl From<Result<NewProduct, MutationError>> for CreateProductPayload {
    fn from(outcome: Result<NewProduct, MutationError>) -> Self {
        let (product, errors) = split(outcome, |(product, stock)| {
            Product::with_stock(product, stock)
        });
        Self { product, errors }
    }
}

/// A change of a product. A field that is left out, or null, stays as it is.
#[derive(Debug, InputObject)]
struct UpdateProductInput {
    /// Which product.
    id: ID,
    /// The new name, 1 to 200 characters.
    name: Option<String>,
    /// The new description, at most 5,000 characters.
    description: Option<String>,
    /// The new price; orders that were placed keep theirs.
    price: Option<MoneyInput>,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

impl UpdateProductInput {
    fn parse(self) -> Result<UpdateProduct, Refusal> {
        Ok(UpdateProduct {
            id: parse_id(&self.id, &["id"])?,
            change: ProductChange {
                price: self
                    .price
                    .map(|price| price.parse(&["price"]))
                    .transpose()?,
                name: self.name,
                description: self.description,
            },
        })
    }
}

/// What became of `updateProduct`.
#[derive(Debug, SimpleObject)]
struct UpdateProductPayload {
    /// The product after the change; null if refused.
    product: Option<Product>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Product, MutationError>> for UpdateProductPayload {
    fn from(outcome: Result<domain::Product, MutationError>) -> Self {
        let (product, errors) = split(outcome, Product::from);
        Self { product, errors }
    }
}

/// Why units come into the warehouse or leave it other than with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum StockAdjustmentReason {
    /// A delivery came in.
    Received,
    /// The units were counted again.
    Correction,
}

impl From<StockAdjustmentReason> for AdjustmentReason {
    fn from(reason: StockAdjustmentReason) -> Self {
        match reason {
            StockAdjustmentReason::Received => Self::Received,
            StockAdjustmentReason::Correction => Self::Correction,
        }
    }
}

/// A change of how many units there are.
#[derive(Debug, InputObject)]
struct AdjustStockInput {
    /// Which product.
    product_id: ID,
    /// How many units come in; negative for units that go. Never more than are free.
    delta: Int,
    /// Why.
    reason: StockAdjustmentReason,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

impl AdjustStockInput {
    fn parse(&self) -> Result<AdjustStock, Refusal> {
        let product_id = parse_id(&self.product_id, &["productId"])?;
        Ok(AdjustStock {
            product_id,
            delta: self.delta,
            reason: self.reason.into(),
        })
    }
}

/// What became of `adjustStock`.
#[derive(Debug, SimpleObject)]
struct AdjustStockPayload {
    /// The level after the change; null if refused.
    stock: Option<StockLevel>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::StockLevel, MutationError>> for AdjustStockPayload {
    fn from(outcome: Result<domain::StockLevel, MutationError>) -> Self {
        let (stock, errors) = split(outcome, StockLevel);
        Self { stock, errors }
    }
}

/// A product to be deleted.
#[derive(Debug, InputObject)]
struct DeleteProductInput {
    /// Which product.
    id: ID,
    /// Under which conditions.
    #[graphql(flatten)]
    terms: ChangeTerms,
}

/// What became of `deleteProduct`.
#[derive(Debug, SimpleObject)]
struct DeleteProductPayload {
    /// The id of the deleted product; null if refused.
    deleted_id: Option<ID>,
    /// Why it was refused; empty if it was not.
    errors: Vec<MutationError>,
}

impl From<Result<domain::Product, MutationError>> for DeleteProductPayload {
    fn from(outcome: Result<domain::Product, MutationError>) -> Self {
        let (deleted_id, errors) = split(outcome, |product| product.id.to_string().into());
        Self { deleted_id, errors }
    }
}

/// Mutations of products and of their stock.
#[derive(Debug, Default)]
pub(super) struct ProductMutation;

#[Object]
impl ProductMutation {
    /// Creates a product with its stock.
    async fn create_product(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product.")] input: CreateProductInput,
    ) -> Result<CreateProductPayload> {
        let run = async || {
            let call = input.terms.call(ctx);
            products::create_product(ctx.db(), &call, input.parse()?).await
        };
        Ok(answer(run().await)?)
    }

    /// Changes a product's name, description or price.
    async fn update_product(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: UpdateProductInput,
    ) -> Result<UpdateProductPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            products::update_product(ctx.db(), &call, input.parse()?).await
        };
        Ok(answer(run().await)?)
    }

    /// Adds units to a product's stock, or takes free ones away.
    async fn adjust_stock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: AdjustStockInput,
    ) -> Result<AdjustStockPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            stock::adjust_stock(ctx.db(), &call, input.parse()?).await
        };
        Ok(answer(run().await)?)
    }

    /// Takes a product out of the catalogue, unless units of it are held for orders.
    async fn delete_product(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which product.")] input: DeleteProductInput,
    ) -> Result<DeleteProductPayload> {
        let run = async || {
            let call = input.terms.call(ctx)?;
            let id = parse_id(&input.id, &["id"])?;
            products::delete_product(ctx.db(), &call, id).await
        };
        Ok(answer(run().await)?)
    }
}

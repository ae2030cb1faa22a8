//! Table `products`, and the first and last row of a product's stock.

use super::once::{self, Request};
use super::stock::{level_changed, movement};
use super::{Call, CommandError};
use crate::db::{Db, outbox, products, stock};
use crate::domain::limits::STOCK_UNITS;
use crate::domain::product::ProductChange;
use crate::domain::refusal::{Entity, path};
use crate::domain::stock::MovementKind;
use crate::domain::{Money, Product, ProductId, Refusal, StockLevel};
use crate::events::{EventType, Payload};
use crate::runtime::ids;

/// A product to be created.
#[derive(Debug, Clone)]
pub struct CreateProduct {
    /// The name.
    pub name: String,
    /// The description; may be empty.
    pub description: String,
    /// What one unit costs.
    pub price: Money,
    /// Units on hand.
    pub stock: i64,
}

/// A change of a product.
#[derive(Debug, Clone)]
pub struct UpdateProduct {
    /// Which product.
    pub id: ProductId,
    /// What changes.
    pub change: ProductChange,
}

fn not_found(id: ProductId) -> Refusal {
    Refusal::NotFound {
        path: path([&"id"]),
        entity: Entity::Product(id),
    }
}

/// Creates a product with its stock.
///
/// Effects: inserts `products`, `stock`, a line of the ledger unless the stock is 0; appends `product.created` and
/// `stock.level_changed`.
/// Refusals: `Invalid`; those of the key.
pub async fn create_product(
    db: &Db,
    call: &Call,
    cmd: CreateProduct,
) -> Result<(Product, StockLevel), CommandError> {
    let id = ProductId::from_uuid(ids::fresh());
    let product = Product::create(id, call.at, &cmd.name, &cmd.description, cmd.price)?;
    let on_hand = u32::try_from(cmd.stock)
        .ok()
        .filter(|units| *units <= STOCK_UNITS)
        .ok_or_else(|| {
            Refusal::invalid(
                path([&"stock"]),
                format!("must be between 0 and {STOCK_UNITS}"),
            )
        })?;
    let level = StockLevel {
        product_id: id,
        on_hand,
        reserved: 0,
        sellable: true,
        version: 1,
    };
    let received = movement(id, MovementKind::Received, cmd.stock);
    let events = [
        call.event(EventType::ProductCreated, Payload::Product(product.clone())),
        level_changed(call, &level),
    ];
    let request = Request::new("createProduct")
        .with("name", &product.name)
        .with("description", &product.description)
        .with("price", product.price)
        .with("stock", on_hand);
    db.transaction("create_product", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        products::insert(tx, &product).await?;
        stock::save_levels(tx, [&level]).await?;
        if on_hand > 0 {
            stock::append_movements(tx, call.at, std::slice::from_ref(&received)).await?;
        }
        outbox::append(tx, db.encoding(), &events).await?;
        once::keep(tx, call, (product.clone(), level)).await
    })
    .await
}

/// Changes a product. A change that changes nothing has no effect and keeps the version.
///
/// Effects: updates `products`; appends `product.updated`.
/// Refusals: `NotFound`, `Invalid`, `VersionMismatch`; those of the key.
pub async fn update_product(
    db: &Db,
    call: &Call,
    cmd: UpdateProduct,
) -> Result<Product, CommandError> {
    let request = Request::new("updateProduct")
        .with("id", cmd.id)
        .with_some("name", cmd.change.name.as_ref())
        .with_some("description", cmd.change.description.as_ref())
        .with_some("price", cmd.change.price);
    db.transaction("update_product", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let mut product = products::lock(tx, cmd.id)
            .await?
            .ok_or_else(|| not_found(cmd.id))?;
        call.check_version(product.version)?;
        if product.update(call.at, &cmd.change)? {
            products::save(tx, &product).await?;
            let event = call.event(EventType::ProductUpdated, Payload::Product(product.clone()));
            outbox::append(tx, db.encoding(), &[event]).await?;
        }
        once::keep(tx, call, product).await
    })
    .await
}

/// Takes a product out of the catalogue; orders that ask for it afterwards are rejected.
///
/// Effects: updates `products`, `stock`; appends `product.deleted` and `stock.level_changed`.
/// Refusals: `NotFound`, `ProductHeld`, `VersionMismatch`; those of the key.
pub async fn delete_product(db: &Db, call: &Call, id: ProductId) -> Result<Product, CommandError> {
    let request = Request::new("deleteProduct").with("id", id);
    db.transaction("delete_product", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        let mut product = products::lock(tx, id).await?.ok_or_else(|| not_found(id))?;
        call.check_version(product.version)?;
        let mut levels = stock::lock_levels(tx, &[id]).await?;
        let mut events = Vec::new();
        for level in &mut levels {
            if level.reserved > 0 {
                return Err(Refusal::ProductHeld {
                    product: id,
                    reserved: level.reserved,
                }
                .into());
            }
            level.sellable = false;
            level.version += 1;
            events.push(level_changed(call, level));
        }
        product.delete(call.at);
        events.push(call.event(EventType::ProductDeleted, Payload::Product(product.clone())));
        products::save(tx, &product).await?;
        stock::save_levels(tx, &levels).await?;
        outbox::append(tx, db.encoding(), &events).await?;
        once::keep(tx, call, product).await
    })
    .await
}

//! Documents beside what they should be.

use std::collections::HashMap;

use shop_core::db::{StoreError, orders, products, stock, users};
use shop_core::domain::{OrderId, ProductId, UserId};
use shop_core::events::Payload;
use shop_core::views::{Image, View, Views};
use uuid::Uuid;

use crate::ops::audit::Violation;
use crate::ops::{Desk, OpsError, outlast};

/// A document, and what it should be.
pub struct Compared {
    view: View,
    pub(super) id: Uuid,
    /// What the write side says.
    pub expected: Option<Image>,
    /// What the view has.
    pub found: Option<Image>,
}

impl Compared {
    pub(super) fn problem(&self) -> Option<Violation> {
        let problem = match (&self.expected, &self.found) {
            (None, None) => return None,
            (None, Some(_)) => "has a document, but no row".to_owned(),
            (Some(expected), None) => {
                let version = expected.version().unwrap_or_default();
                format!("is missing, the row is at version {version}")
            }
            (Some(expected), Some(found)) => {
                let fields = expected.differences(found);
                if fields.is_empty() {
                    return None;
                }
                if expected.version() == found.version() {
                    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                    fields.join("; ")
                } else {
                    let version = |image: &Image| {
                        image.version().map_or("none".to_owned(), |v| v.to_string())
                    };
                    format!(
                        "is at version {}, the row at {}",
                        version(found),
                        version(expected)
                    )
                }
            }
        };
        Some(Violation::of_document(self.view, self.id, problem))
    }

    /// Whether the document is wrong.
    pub fn is_wrong(&self) -> bool {
        self.problem().is_some()
    }
}

/// Reads the write side first and the view second, so that a view that is behind is behind.
pub async fn documents(
    desk: &Desk,
    views: &Views,
    view: View,
    ids: &[Uuid],
) -> Result<Vec<Compared>, OpsError> {
    let mut expected = HashMap::new();
    for state in states(desk, view, ids).await? {
        if let Some((_, image)) = Image::of(&state)? {
            expected.insert(image.id(), image);
        }
    }
    let found = outlast(async || views.images(view, ids).await).await?;
    let mut found: HashMap<Uuid, Image> =
        found.into_iter().map(|image| (image.id(), image)).collect();
    let compared = ids.iter().map(|id| Compared {
        view,
        id: *id,
        expected: expected.remove(id),
        found: found.remove(id),
    });
    Ok(compared.collect())
}

/// The states of some rows.
pub(super) async fn states(
    desk: &Desk,
    view: View,
    ids: &[Uuid],
) -> Result<Vec<Payload>, StoreError> {
    desk.db
        .transaction("audit", async |tx| {
            Ok::<_, StoreError>(match view {
                View::Users => {
                    let ids: Vec<UserId> = ids.iter().copied().map(UserId::from_uuid).collect();
                    let users = users::any(tx, &ids).await?;
                    users.into_iter().map(Payload::User).collect()
                }
                View::Products => {
                    let ids = product_ids(ids);
                    let products = products::any(tx, &ids).await?;
                    products.into_iter().map(Payload::Product).collect()
                }
                View::StockLevels => {
                    let ids = product_ids(ids);
                    let levels = stock::levels(tx, &ids).await?;
                    levels.into_iter().map(Payload::StockLevel).collect()
                }
                View::Orders => {
                    let ids: Vec<OrderId> = ids.iter().copied().map(OrderId::from_uuid).collect();
                    let orders = orders::any(tx, &ids).await?;
                    let boxed = |order| Payload::Order(Box::new(order));
                    orders.into_iter().map(boxed).collect()
                }
            })
        })
        .await
}

fn product_ids(ids: &[Uuid]) -> Vec<ProductId> {
    ids.iter().copied().map(ProductId::from_uuid).collect()
}

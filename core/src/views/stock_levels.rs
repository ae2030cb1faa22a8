//! How much there is of each product. A collection of its own: one document, one writer.

use mongodb::bson::Uuid;
use serde::{Deserialize, Serialize};

use super::apply::{Write, Written};
use super::fields::{Reader, bson_uuid, uuid};
use super::{ViewError, Views};
use crate::domain::{ProductId, StockLevel};

pub(super) const COLLECTION: &str = "stock_levels";
const READER: Reader = Reader(COLLECTION);

#[derive(Debug, Serialize, Deserialize)]
struct StockLevelDocument {
    #[serde(rename = "_id")]
    product_id: Uuid,
    version: i64,
    on_hand: i64,
    reserved: i64,
    sellable: bool,
}

impl From<&StockLevel> for StockLevelDocument {
    fn from(level: &StockLevel) -> Self {
        Self {
            product_id: bson_uuid(level.product_id.uuid()),
            version: level.version.into(),
            on_hand: level.on_hand.into(),
            reserved: level.reserved.into(),
            sellable: level.sellable,
        }
    }
}

impl TryFrom<StockLevelDocument> for StockLevel {
    type Error = ViewError;

    fn try_from(document: StockLevelDocument) -> Result<Self, ViewError> {
        Ok(Self {
            product_id: ProductId::from_uuid(uuid(document.product_id)),
            on_hand: READER.count(document.on_hand, "the units on hand")?,
            reserved: READER.count(document.reserved, "the units reserved")?,
            sellable: document.sellable,
            version: READER.count(document.version, "a version")?,
        })
    }
}

pub(super) fn write(level: &StockLevel) -> Result<Write, ViewError> {
    let id = bson_uuid(level.product_id.uuid());
    Write::new(id, level.version, &StockLevelDocument::from(level))
}

impl Views {
    /// Writes the newest known level of each product; what became of each is at its place in the answer.
    pub async fn apply_stock_levels(
        &self,
        levels: &[StockLevel],
    ) -> Result<Vec<Written>, ViewError> {
        let writes = levels.iter().map(write).collect::<Result<Vec<_>, _>>()?;
        self.apply(COLLECTION, &writes).await
    }

    /// The levels of these products, as far as they are known, in no particular order. That of a deleted product is there
    /// too, and not sellable.
    pub async fn stock_levels(&self, ids: &[ProductId]) -> Result<Vec<StockLevel>, ViewError> {
        let ids = ids.iter().map(|id| bson_uuid(id.uuid()).into()).collect();
        let documents: Vec<StockLevelDocument> = self.get(COLLECTION, ids).await?;
        documents.into_iter().map(StockLevel::try_from).collect()
    }

    /// The level of a product, if it is known.
    pub async fn stock_level(&self, id: ProductId) -> Result<Option<StockLevel>, ViewError> {
        Ok(self.stock_levels(&[id]).await?.pop())
    }
}

//! How far the view of a thing is, for whoever waits for a version of it.

use mongodb::bson::{Uuid, doc};
use serde::Deserialize;

use super::fields::{Reader, bson_uuid};
use super::{ViewError, Views, order_document, products, users};
use crate::domain::{OrderId, ProductId, UserId, Version};

/// How far the view of one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its version.
    pub version: Version,
    /// Whether it was deleted: no version comes after that.
    pub deleted: bool,
}

#[derive(Deserialize)]
pub(super) struct KnownFields {
    version: i64,
    deleted: bool,
}

impl KnownFields {
    pub(super) fn read(&self, name: &'static str) -> Result<Known, ViewError> {
        Ok(Known {
            version: Reader(name).count(self.version, "a version")?,
            deleted: self.deleted,
        })
    }
}

impl Views {
    /// How far the view of a user is; `None` if it has none yet.
    pub async fn known_user(&self, id: UserId) -> Result<Option<Known>, ViewError> {
        self.known(users::COLLECTION, id.uuid()).await
    }

    /// How far the view of a product is; `None` if it has none yet.
    pub async fn known_product(&self, id: ProductId) -> Result<Option<Known>, ViewError> {
        self.known(products::COLLECTION, id.uuid()).await
    }

    /// How far the view of an order is; `None` if it has none yet.
    pub async fn known_order(&self, id: OrderId) -> Result<Option<Known>, ViewError> {
        self.known(order_document::COLLECTION, id.uuid()).await
    }

    async fn known(&self, name: &'static str, id: uuid::Uuid) -> Result<Option<Known>, ViewError> {
        let stored_as = self.name(name).await?;
        let collection = self.database.collection::<KnownFields>(&stored_as);
        let id: Uuid = bson_uuid(id);
        let found = collection
            .find_one(doc! { "_id": id })
            .projection(doc! { "version": 1, "deleted": 1 });
        let found = self.within(found).await?;
        found.map(|found| found.read(name)).transpose()
    }
}

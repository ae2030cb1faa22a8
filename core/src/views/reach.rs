//! Orders as far as somebody reaches. Of an order beyond it nothing is read: the customer's own index leads to its orders and no
//! other, so it is as little there as one that does not exist.

use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::Hint;
use serde::de::DeserializeOwned;

use super::fields::bson_uuid;
use super::known::{Known, KnownFields};
use super::order_document::{COLLECTION, OrderDocument};
use super::orders::OrderState;
use super::{ViewError, Views};
use crate::domain::{Order, OrderId, Scope};

/// The views as far as a scope reaches.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    views: &'a Views,
    scope: Scope,
}

impl Views {
    /// As far as a scope reaches.
    pub const fn reach(&self, scope: Scope) -> Reach<'_> {
        Reach { views: self, scope }
    }
}

impl Reach<'_> {
    /// As [`Views::orders`].
    pub async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, ViewError> {
        let Some(own) = self.own(ids) else {
            return self.views.orders(ids).await;
        };
        let documents: Vec<OrderDocument> = self.find(own).await?;
        documents.into_iter().map(Order::try_from).collect()
    }

    /// As [`Views::order`].
    pub async fn order(&self, id: OrderId) -> Result<Option<Order>, ViewError> {
        Ok(self.orders(&[id]).await?.pop())
    }

    /// As [`Views::order_state`], but what is left of a deleted order is nobody's: only a scope of everything reaches it.
    pub async fn order_state(&self, id: OrderId) -> Result<Option<OrderState>, ViewError> {
        if self.scope == Scope::Everything {
            return self.views.order_state(id).await;
        }
        let order = self.order(id).await?;
        Ok(order.map(|order| OrderState::Live(Box::new(order))))
    }

    /// As [`Views::known_order`].
    pub async fn known_order(&self, id: OrderId) -> Result<Option<Known>, ViewError> {
        let Some(own) = self.own(&[id]) else {
            return self.views.known_order(id).await;
        };
        let found: Vec<KnownFields> = self.find(own).await?;
        let found = found.first().map(|found| found.read(COLLECTION));
        found.transpose()
    }

    /// The filter that finds the orders of one customer among these; `None` if everything is reached.
    fn own(&self, ids: &[OrderId]) -> Option<Document> {
        let Scope::Of(customer) = self.scope else {
            return None;
        };
        let ids: Vec<Bson> = ids.iter().map(|id| bson_uuid(id.uuid()).into()).collect();
        let customer = bson_uuid(customer.uuid());
        Some(doc! { "customer_id": customer, "_id": { "$in": ids }, "deleted": { "$ne": true } })
    }

    async fn find<D: DeserializeOwned + Send + Sync + Unpin>(
        &self,
        own: Document,
    ) -> Result<Vec<D>, ViewError> {
        let name = self.views.name(COLLECTION).await?;
        let collection = self.views.database.collection::<D>(&name);
        let by_customer = Hint::Keys(doc! { "customer_id": 1, "_id": -1 });
        let found = async {
            collection
                .find(own)
                .hint(by_customer)
                .await?
                .try_collect()
                .await
        };
        self.views.within(found).await
    }
}

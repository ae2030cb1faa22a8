//! Orders with their lines, payments and timeline, newest first.

use mongodb::bson::{Bson, Document, doc};

use super::apply::{Write, Written};
use super::cursor::OrderCursor;
use super::fields::bson_uuid;
use super::order_document::{COLLECTION, DeletedOrderDocument, OrderDocument, READER};
use super::page::{Listing, Page, PageRequest, SortField, descending};
use super::{ViewError, Views};
use crate::domain::order::TimelineEntry;
use crate::domain::{Order, OrderId, OrderStatus, Timestamp, UserId, Version};

const NEWEST_FIRST: &[SortField] = &[descending("_id")];

pub(super) fn indexes() -> Vec<Document> {
    vec![
        doc! { "customer_id": 1, "_id": -1 },
        doc! { "status": 1, "_id": -1 },
    ]
}

/// An order as the view knows it, deleted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// It is there.
    Live(Box<Order>),
    /// It was deleted.
    Deleted(DeletedOrder),
}

/// What is left of a deleted order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedOrder {
    /// Which order.
    pub id: OrderId,
    /// The number of changes, the deletion included.
    pub version: Version,
    /// Where it stood.
    pub status: OrderStatus,
    /// How it got there; without reasons, since those are somebody's words.
    pub timeline: Vec<TimelineEntry>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub updated_at: Timestamp,
}

impl OrderState {
    /// The number of changes so far.
    pub fn version(&self) -> Version {
        match self {
            Self::Live(order) => order.version,
            Self::Deleted(order) => order.version,
        }
    }
}

/// Which orders a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only this customer's.
    pub customer_id: Option<UserId>,
    /// Only those in one of these statuses; none given means any.
    pub statuses: Vec<OrderStatus>,
}

pub(super) fn write(order: &Order) -> Result<Write, ViewError> {
    let id = bson_uuid(order.id.uuid());
    if order.deleted {
        return Write::new(id, order.version, &DeletedOrderDocument::from(order));
    }
    Write::new(id, order.version, &OrderDocument::from(order))
}

impl Views {
    /// Writes the newest known state of each order; what became of each is at its place in the answer.
    pub async fn apply_orders(&self, orders: &[Order]) -> Result<Vec<Written>, ViewError> {
        let writes = orders.iter().map(write).collect::<Result<Vec<_>, _>>()?;
        self.apply(COLLECTION, &writes).await
    }

    /// The orders among these ids that exist, in no particular order.
    pub async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, ViewError> {
        let ids = ids.iter().map(|id| bson_uuid(id.uuid()).into()).collect();
        let documents: Vec<OrderDocument> = self.get(COLLECTION, ids).await?;
        documents.into_iter().map(Order::try_from).collect()
    }

    /// An order, unless unknown or deleted.
    pub async fn order(&self, id: OrderId) -> Result<Option<Order>, ViewError> {
        Ok(self.orders(&[id]).await?.pop())
    }

    /// An order, also if it was deleted: a subscriber that fills a gap has to tell "gone" from "not yet there".
    pub async fn order_state(&self, id: OrderId) -> Result<Option<OrderState>, ViewError> {
        let name = self.name(COLLECTION).await?;
        let collection = self.database.collection::<Document>(&name);
        let filter = doc! { "_id": bson_uuid(id.uuid()) };
        let Some(document) = self.within(collection.find_one(filter)).await? else {
            return Ok(None);
        };
        let unreadable = |_| READER.corrupt("a document");
        if document.get_bool("deleted").unwrap_or(false) {
            let rest: DeletedOrderDocument =
                mongodb::bson::deserialize_from_document(document).map_err(unreadable)?;
            return Ok(Some(OrderState::Deleted(rest.try_into()?)));
        }
        let order: OrderDocument =
            mongodb::bson::deserialize_from_document(document).map_err(unreadable)?;
        Ok(Some(OrderState::Live(Box::new(order.try_into()?))))
    }

    /// A page of orders, newest first.
    pub async fn list_orders(
        &self,
        filter: &OrderFilter,
        page: PageRequest<OrderCursor>,
    ) -> Result<Page<Order>, ViewError> {
        let mut wanted = doc! { "deleted": false };
        if let Some(customer) = filter.customer_id {
            wanted.insert("customer_id", bson_uuid(customer.uuid()));
        }
        if !filter.statuses.is_empty() {
            let words: Vec<Bson> = filter
                .statuses
                .iter()
                .map(|status| status.as_str().into())
                .collect();
            wanted.insert("status", doc! { "$in": words });
        }
        let listing = Listing {
            collection: COLLECTION,
            filter: wanted,
            order: NEWEST_FIRST,
        };
        let documents: Page<OrderDocument> =
            self.page(&listing, page.map(OrderCursor::key)).await?;
        documents.try_map(Order::try_from)
    }
}

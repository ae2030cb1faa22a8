//! Pages by key: "the next twenty after this one" is asked for by the sort key of the last item, so what is inserted or
//! deleted meanwhile moves nothing twice past a reader and hides nothing from it.

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use serde::de::DeserializeOwned;

use super::{ViewError, Views};

/// Which end of the list a page is taken from, and how many items at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// From the start.
    First(usize),
    /// From the end; the items still come in the list's order.
    Last(usize),
}

/// A page to read: the part of the list between two cursors, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// From which end, and how many.
    pub take: Take,
    /// Only what stands after this.
    pub after: Option<K>,
    /// Only what stands before this.
    pub before: Option<K>,
}

impl<K> PageRequest<K> {
    /// The first items of the list.
    pub fn first(count: usize) -> Self {
        Self {
            take: Take::First(count),
            after: None,
            before: None,
        }
    }

    /// The last items of the list.
    pub fn last(count: usize) -> Self {
        Self {
            take: Take::Last(count),
            after: None,
            before: None,
        }
    }

    /// Only what stands after this.
    #[must_use]
    pub fn after(self, cursor: K) -> Self {
        Self {
            after: Some(cursor),
            ..self
        }
    }

    /// Only what stands before this.
    #[must_use]
    pub fn before(self, cursor: K) -> Self {
        Self {
            before: Some(cursor),
            ..self
        }
    }

    pub(super) fn map<L>(self, key: impl Fn(K) -> L) -> PageRequest<L> {
        PageRequest {
            take: self.take,
            after: self.after.map(&key),
            before: self.before.map(&key),
        }
    }
}

/// A page of a list, in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are items after these, as the Relay specification counts them.
    pub has_next: bool,
    /// Whether there are items before these, likewise.
    pub has_previous: bool,
}

impl<T> Page<T> {
    pub(super) fn empty() -> Self {
        Self {
            items: Vec::new(),
            has_next: false,
            has_previous: false,
        }
    }

    pub(super) fn try_map<U, E>(self, item: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page {
            items: self.items.into_iter().map(item).collect::<Result<_, E>>()?,
            has_next: self.has_next,
            has_previous: self.has_previous,
        })
    }
}

/// A field that a list is sorted by.
#[derive(Debug, Clone, Copy)]
pub(super) struct SortField {
    pub name: &'static str,
    pub descending: bool,
}

pub(super) const fn ascending(name: &'static str) -> SortField {
    SortField {
        name,
        descending: false,
    }
}

pub(super) const fn descending(name: &'static str) -> SortField {
    SortField {
        name,
        descending: true,
    }
}

/// The values of the sort fields of one item.
pub(super) type Key = Vec<Bson>;

/// A list: some documents of a collection in an order that no two of them share a place in.
pub(super) struct Listing {
    pub collection: &'static str,
    pub filter: Document,
    pub order: &'static [SortField],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Listing {
    /// What stands on one side of a key: `a > x, or a = x and b > y, or …`, each comparison in its field's direction.
    fn beside(&self, key: &[Bson], side: Side, inclusive: bool) -> Document {
        let last = self.order.len() - 1;
        let mut alternatives = Vec::with_capacity(self.order.len());
        for (place, field) in self.order.iter().enumerate() {
            let operator = match (
                (side == Side::After) != field.descending,
                inclusive && place == last,
            ) {
                (true, false) => "$gt",
                (true, true) => "$gte",
                (false, false) => "$lt",
                (false, true) => "$lte",
            };
            let mut alternative = Document::new();
            for (equal, value) in self.order.iter().zip(key).take(place) {
                alternative.insert(equal.name, value.clone());
            }
            alternative.insert(field.name, doc! { operator: key[place].clone() });
            alternatives.push(alternative);
        }
        match <[Document; 1]>::try_from(alternatives) {
            Ok([only]) => only,
            Err(alternatives) => doc! { "$or": alternatives },
        }
    }

    fn and(&self, conditions: impl IntoIterator<Item = Document>) -> Document {
        let mut all = vec![self.filter.clone()];
        all.extend(conditions);
        match <[Document; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(all) => doc! { "$and": all },
        }
    }

    fn sort(&self, backwards: bool) -> Document {
        self.order
            .iter()
            .map(|field| {
                let direction = if field.descending == backwards { 1 } else { -1 };
                (field.name.to_owned(), Bson::Int32(direction))
            })
            .collect()
    }
}

impl Views {
    /// Reads a page: one item more than asked for tells whether the list goes on, and a look for a single document at or
    /// beyond the cursor that it starts from tells whether there is something on the other side.
    pub(super) async fn page<D: DeserializeOwned + Send + Sync + Unpin>(
        &self,
        listing: &Listing,
        request: PageRequest<Key>,
    ) -> Result<Page<D>, ViewError> {
        let (count, backwards) = match request.take {
            Take::First(count) => (count, false),
            Take::Last(count) => (count, true),
        };
        let after = request
            .after
            .as_deref()
            .map(|key| listing.beside(key, Side::After, false));
        let before = request
            .before
            .as_deref()
            .map(|key| listing.beside(key, Side::Before, false));
        let behind = if backwards {
            request
                .before
                .as_deref()
                .map(|key| listing.beside(key, Side::After, true))
        } else {
            request
                .after
                .as_deref()
                .map(|key| listing.beside(key, Side::Before, true))
        };
        // Both looks into the same generation.
        let name = self.name(listing.collection).await?;
        let read = self.read_sorted(
            &name,
            listing,
            listing.and(after.into_iter().chain(before)),
            backwards,
            count.saturating_add(1),
        );
        let probe = async {
            match behind {
                Some(condition) => self.exists(&name, listing.and([condition])).await,
                None => Ok(false),
            }
        };
        let (mut items, is_something_behind) = futures::try_join!(read, probe)?;
        let goes_on = items.len() > count;
        items.truncate(count);
        if backwards {
            items.reverse();
            return Ok(Page {
                items,
                has_next: is_something_behind,
                has_previous: goes_on,
            });
        }
        Ok(Page {
            items,
            has_next: goes_on,
            has_previous: is_something_behind,
        })
    }

    async fn read_sorted<D: DeserializeOwned + Send + Sync + Unpin>(
        &self,
        name: &str,
        listing: &Listing,
        filter: Document,
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<D>, ViewError> {
        let collection = self.database.collection::<D>(name);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = async {
            collection
                .find(filter)
                .sort(listing.sort(backwards))
                .limit(limit)
                .await?
                .try_collect()
                .await
        };
        self.within(find).await
    }

    async fn exists(&self, name: &str, filter: Document) -> Result<bool, ViewError> {
        let collection = self.database.collection::<Document>(name);
        let found = self
            .within(collection.find_one(filter).projection(doc! { "_id": 1 }))
            .await?;
        Ok(found.is_some())
    }

    /// Reads the documents of some ids that are not deleted, in no particular order.
    pub(super) async fn get<D: DeserializeOwned + Send + Sync + Unpin>(
        &self,
        collection: &'static str,
        ids: Vec<Bson>,
    ) -> Result<Vec<D>, ViewError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let name = self.name(collection).await?;
        let collection = self.database.collection::<D>(&name);
        let filter = doc! { "_id": { "$in": ids }, "deleted": { "$ne": true } };
        self.within(async { collection.find(filter).await?.try_collect().await })
            .await
    }
}

//! Products: newest first, by name, or by price.

use mongodb::bson::{DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};

use super::apply::{Write, Written};
use super::cursor::ProductCursor;
use super::fields::{MoneyFields, Reader, Tombstone, bson_uuid, date, fold_case, timestamp, uuid};
use super::page::{Listing, Page, PageRequest, SortField, ascending, descending};
use super::{ViewError, Views};
use crate::domain::limits::NAME_CHARS;
use crate::domain::{Product, ProductId};

pub(super) const COLLECTION: &str = "products";
const READER: Reader = Reader(COLLECTION);

pub(super) fn indexes() -> Vec<Document> {
    vec![
        doc! { "name_lower": 1, "_id": 1 },
        doc! { "price.currency": 1, "price.minor": 1, "_id": 1 },
    ]
}

#[derive(Debug, Serialize, Deserialize)]
struct ProductDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    version: i64,
    deleted: bool,
    name: String,
    /// What a search and a sort without case compare.
    name_lower: String,
    description: String,
    price: MoneyFields,
    created_at: DateTime,
    updated_at: DateTime,
}

impl From<&Product> for ProductDocument {
    fn from(product: &Product) -> Self {
        Self {
            id: bson_uuid(product.id.uuid()),
            version: product.version.into(),
            deleted: false,
            name: product.name.clone(),
            name_lower: fold_case(&product.name),
            description: product.description.clone(),
            price: product.price.into(),
            created_at: date(product.created_at),
            updated_at: date(product.updated_at),
        }
    }
}

impl TryFrom<ProductDocument> for Product {
    type Error = ViewError;

    fn try_from(document: ProductDocument) -> Result<Self, ViewError> {
        Ok(Self {
            id: ProductId::from_uuid(uuid(document.id)),
            version: READER.count(document.version, "a version")?,
            name: document.name,
            description: document.description,
            price: READER.money(&document.price)?,
            created_at: timestamp(document.created_at),
            updated_at: timestamp(document.updated_at),
            deleted: document.deleted,
        })
    }
}

pub(super) fn write(product: &Product) -> Result<Write, ViewError> {
    let (id, version) = (product.id.uuid(), product.version);
    if product.deleted {
        let rest = Tombstone::new(id, version, product.created_at, product.updated_at);
        return Write::new(bson_uuid(id), version, &rest);
    }
    Write::new(bson_uuid(id), version, &ProductDocument::from(product))
}

/// Which products a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// Only those whose name contains these characters, whatever the case.
    pub name_contains: Option<String>,
}

/// The order of a list of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProductSort {
    /// Newest first.
    #[default]
    Newest,
    /// By name without case, A first.
    Name,
    /// By price, cheapest first; amounts of one currency stay together.
    Price,
}

impl ProductSort {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Newest, Self::Name, Self::Price];

    const fn fields(self) -> &'static [SortField] {
        match self {
            Self::Newest => &const { [descending("_id")] },
            Self::Name => &const { [ascending("name_lower"), ascending("_id")] },
            Self::Price => {
                &const {
                    [
                        ascending("price.currency"),
                        ascending("price.minor"),
                        ascending("_id"),
                    ]
                }
            }
        }
    }
}

/// A pattern that matches exactly these characters.
fn literal_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        // Every other ASCII character may mean something to one engine or another; a backslash makes it itself.
        if character.is_ascii() && !character.is_ascii_alphanumeric() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The documents whose name contains a text; `None` if no name can.
fn name_condition(text: &str) -> Option<Document> {
    let text = fold_case(text);
    // Neither occurs in a name, and the first would end a pattern early.
    if text.contains('\0') || text.chars().count() > 2 * NAME_CHARS {
        return None;
    }
    if text.is_empty() {
        Some(Document::new())
    } else {
        Some(doc! { "name_lower": { "$regex": literal_pattern(&text) } })
    }
}

impl Views {
    /// Writes the newest known state of each product; what became of each is at its place in the answer.
    pub async fn apply_products(&self, products: &[Product]) -> Result<Vec<Written>, ViewError> {
        let writes = products.iter().map(write).collect::<Result<Vec<_>, _>>()?;
        self.apply(COLLECTION, &writes).await
    }

    /// The products among these ids that exist, in no particular order.
    pub async fn products(&self, ids: &[ProductId]) -> Result<Vec<Product>, ViewError> {
        let ids = ids.iter().map(|id| bson_uuid(id.uuid()).into()).collect();
        let documents: Vec<ProductDocument> = self.get(COLLECTION, ids).await?;
        documents.into_iter().map(Product::try_from).collect()
    }

    /// A product, unless unknown or deleted.
    pub async fn product(&self, id: ProductId) -> Result<Option<Product>, ViewError> {
        Ok(self.products(&[id]).await?.pop())
    }

    /// A page of products in one of their orders.
    ///
    /// # Errors
    /// [`ViewError::ForeignCursor`] for a cursor of another order.
    pub async fn list_products(
        &self,
        filter: &ProductFilter,
        sort: ProductSort,
        page: PageRequest<ProductCursor>,
    ) -> Result<Page<Product>, ViewError> {
        if [&page.after, &page.before]
            .into_iter()
            .flatten()
            .any(|cursor| cursor.sort() != sort)
        {
            return Err(ViewError::ForeignCursor);
        }
        let mut wanted = doc! { "deleted": false };
        if let Some(text) = &filter.name_contains {
            let Some(condition) = name_condition(text) else {
                return Ok(Page::empty());
            };
            wanted.extend(condition);
        }
        let listing = Listing {
            collection: COLLECTION,
            filter: wanted,
            order: sort.fields(),
        };
        let documents: Page<ProductDocument> =
            self.page(&listing, page.map(ProductCursor::key)).await?;
        documents.try_map(Product::try_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_characters_and_nothing_else() {
        assert_eq!(literal_pattern("ab1"), "ab1");
        assert_eq!(literal_pattern(".*"), "\\.\\*");
        assert_eq!(literal_pattern("\\q(ü)"), "\\\\q\\(ü\\)");
    }

    #[test]
    fn what_no_name_contains_is_not_asked_for() {
        assert!(name_condition("a\0b").is_none());
        assert!(name_condition(&"a".repeat(10_000)).is_none());
        assert!(name_condition("").is_some_and(|condition| condition.is_empty()));
    }
}

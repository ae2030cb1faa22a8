//! A product of the catalogue. How much of it there is, is its [`super::StockLevel`]'s business.

use super::limits::{DESCRIPTION_CHARS, NAME_CHARS, PRICE_MINOR};
use super::refusal::Refusal;
use super::user::valid_text;
use super::{Money, ProductId, Timestamp, Version};

/// A product as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Which product.
    pub id: ProductId,
    /// The number of changes so far.
    pub version: Version,
    /// The name; empty once deleted.
    pub name: String,
    /// The description; may be empty.
    pub description: String,
    /// What one unit costs.
    pub price: Money,
    /// When the product was created.
    pub created_at: Timestamp,
    /// When this version came to be.
    pub updated_at: Timestamp,
    /// Whether the product is gone.
    pub deleted: bool,
}

/// The fields of a product that a client may set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProductChange {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// A new price.
    pub price: Option<Money>,
}

impl Product {
    /// A new product.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a field that breaks a rule.
    pub fn create(
        id: ProductId,
        now: Timestamp,
        name: &str,
        description: &str,
        price: Money,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            id,
            version: 1,
            name: valid_text(vec!["name".into()], name, NAME_CHARS)?,
            description: valid_description(description)?,
            price: valid_price(price)?,
            created_at: now,
            updated_at: now,
            deleted: false,
        })
    }

    /// Changes the fields that are given. Returns whether anything is different now.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a field that breaks a rule.
    pub fn update(&mut self, now: Timestamp, change: &ProductChange) -> Result<bool, Refusal> {
        let before = self.clone();
        if let Some(name) = &change.name {
            self.name = valid_text(vec!["name".into()], name, NAME_CHARS)?;
        }
        if let Some(description) = &change.description {
            self.description = valid_description(description)?;
        }
        if let Some(price) = change.price {
            self.price = valid_price(price)?;
        }
        let changed = *self != before;
        if changed {
            self.touch(now);
        }
        Ok(changed)
    }

    /// Takes the product out of the catalogue.
    pub fn delete(&mut self, now: Timestamp) {
        self.name.clear();
        self.description.clear();
        self.deleted = true;
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = self.updated_at.max(now);
    }
}

fn valid_description(text: &str) -> Result<String, Refusal> {
    let path = vec!["description".into()];
    if text.trim().is_empty() {
        Ok(String::new())
    } else {
        valid_text(path, text, DESCRIPTION_CHARS)
    }
}

fn valid_price(price: Money) -> Result<Money, Refusal> {
    if (0..=PRICE_MINOR).contains(&price.minor) {
        return Ok(price);
    }
    let most = Money {
        minor: PRICE_MINOR,
        ..price
    };
    Err(Refusal::invalid(
        vec!["price".into(), "amount".into()],
        format!("must be between 0 and {}", most.amount()),
    ))
}

//! What an order is about: its lines, and what was short of them.

use crate::domain::{Money, ProductId};

/// One line of an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// Which product.
    pub product_id: ProductId,
    /// The product's name then.
    pub product_name: String,
    /// What one unit cost then.
    pub unit_price: Money,
    /// How many units.
    pub quantity: u32,
}

impl OrderItem {
    /// What the line costs. The limits keep it within 64 bits.
    pub fn line_total(&self) -> Money {
        self.unit_price.times(self.quantity).unwrap_or(Money {
            minor: i64::MAX,
            ..self.unit_price
        })
    }
}

/// What was short when an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Which product.
    pub product_id: ProductId,
    /// How many units the order asked for.
    pub requested: u32,
    /// How many were free; 0 for a product that is gone.
    pub available: u32,
}

//! Placing an order: what the customer asks for, at the catalogue's prices.

use super::{Actor, Order, OrderItem, TimelineEntry};
use crate::domain::limits::{LINE_QUANTITY, ORDER_LINES};
use crate::domain::refusal::{Entity, Refusal, path};
use crate::domain::{Money, OrderId, OrderStatus, Product, ProductId, Timestamp, User};

/// One line of a new order, as the customer asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Which product.
    pub product_id: ProductId,
    /// How many units; anything but 1 to [`LINE_QUANTITY`] is refused.
    pub quantity: i64,
    /// What the customer believes one unit costs.
    pub expected_unit_price: Option<Money>,
}

/// Checks of a new order's lines that need no catalogue.
///
/// # Errors
/// [`Refusal::Invalid`] for the first line that breaks a rule, naming it.
pub fn check_lines(lines: &[NewLine]) -> Result<(), Refusal> {
    if lines.is_empty() {
        return Err(Refusal::invalid(
            path([&"lines"]),
            "an order needs at least one line",
        ));
    }
    if lines.len() > ORDER_LINES {
        let problem = format!(
            "an order has at most {ORDER_LINES} lines, not {}",
            lines.len()
        );
        return Err(Refusal::invalid(path([&"lines"]), problem));
    }
    for (index, line) in lines.iter().enumerate() {
        if !(1..=i64::from(LINE_QUANTITY)).contains(&line.quantity) {
            return Err(Refusal::invalid(
                path([&"lines", &index, &"quantity"]),
                format!("must be between 1 and {LINE_QUANTITY}"),
            ));
        }
        if lines[..index]
            .iter()
            .any(|earlier| earlier.product_id == line.product_id)
        {
            return Err(Refusal::invalid(
                path([&"lines", &index, &"productId"]),
                format!(
                    "{} is in another line already; add up the quantities",
                    line.product_id
                ),
            ));
        }
    }
    Ok(())
}

impl Order {
    /// Places an order, PENDING at version 1, at the catalogue's prices.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::NotFound`] for a product that is not among `catalogue` or deleted,
    /// [`Refusal::PriceChanged`].
    pub fn place(
        id: OrderId,
        now: Timestamp,
        customer: &User,
        lines: &[NewLine],
        catalogue: &[Product],
    ) -> Result<Self, Refusal> {
        check_lines(lines)?;
        let items = lines
            .iter()
            .enumerate()
            .map(|(index, line)| price_line(index, line, catalogue))
            .collect::<Result<Vec<_>, _>>()?;
        let total = add_up(&items)?;
        let first = TimelineEntry {
            version: 1,
            from: None,
            to: OrderStatus::Pending,
            reason: None,
            actor: Actor::Customer,
            at: now,
        };
        Ok(Self {
            id,
            version: 1,
            status: OrderStatus::Pending,
            customer_id: customer.id,
            customer_name: customer.name.clone(),
            items,
            total,
            payments: Vec::new(),
            shortages: Vec::new(),
            timeline: vec![first],
            created_at: now,
            updated_at: now,
            deleted: false,
        })
    }
}

fn price_line(index: usize, line: &NewLine, catalogue: &[Product]) -> Result<OrderItem, Refusal> {
    let product = catalogue
        .iter()
        .find(|product| product.id == line.product_id && !product.deleted)
        .ok_or_else(|| Refusal::NotFound {
            path: path([&"lines", &index, &"productId"]),
            entity: Entity::Product(line.product_id),
        })?;
    if let Some(expected) = line
        .expected_unit_price
        .filter(|price| *price != product.price)
    {
        return Err(Refusal::PriceChanged {
            path: path([&"lines", &index, &"expectedUnitPrice"]),
            product: product.id,
            expected,
            actual: product.price,
        });
    }
    Ok(OrderItem {
        product_id: product.id,
        product_name: product.name.clone(),
        unit_price: product.price,
        quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX), // check_lines has seen it
    })
}

fn add_up(items: &[OrderItem]) -> Result<Money, Refusal> {
    let Some(first) = items.first() else {
        return Err(Refusal::invalid(
            path([&"lines"]),
            "an order needs at least one line",
        ));
    };
    let currency = first.unit_price.currency;
    let mut minor: i64 = 0;
    for (index, item) in items.iter().enumerate() {
        if item.unit_price.currency != currency {
            let problem = format!(
                "is priced in {}, the lines before it in {}; place one order per currency",
                item.unit_price.currency.code(),
                currency.code()
            );
            return Err(Refusal::invalid(
                path([&"lines", &index, &"productId"]),
                problem,
            ));
        }
        minor = minor.saturating_add(item.line_total().minor);
    }
    Ok(Money { minor, currency })
}

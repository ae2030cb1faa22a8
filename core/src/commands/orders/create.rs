//! Placing an order.

use super::announce;
use crate::commands::once::{self, Request};
use crate::commands::{Call, CommandError};
use crate::db::{Db, orders, outbox, products, users};
use crate::domain::order::{NewLine, check_lines};
use crate::domain::refusal::{Entity, path};
use crate::domain::{Order, OrderId, ProductId, Refusal, UserId};
use crate::runtime::ids;

/// An order to be placed.
#[derive(Debug, Clone)]
pub struct CreateOrder {
    /// Who buys.
    pub customer_id: UserId,
    /// What.
    pub lines: Vec<NewLine>,
}

impl CreateOrder {
    fn request(&self) -> Request {
        let mut request = Request::new("createOrder").with("customerId", self.customer_id);
        for (index, line) in self.lines.iter().enumerate() {
            request = request
                .with(format_args!("lines.{index}.productId"), line.product_id)
                .with(format_args!("lines.{index}.quantity"), line.quantity);
            if let Some(price) = line.expected_unit_price {
                request = request.with(format_args!("lines.{index}.expectedUnitPrice"), price);
            }
        }
        request
    }
}

/// Places an order for products that exist, PENDING until its stock is decided.
///
/// Effects: inserts `orders`, `order_items`, `order_transitions`; appends `order.created`.
/// Refusals: `Invalid`, `NotFound`, `PriceChanged`; those of the key.
pub async fn create_order(db: &Db, call: &Call, cmd: CreateOrder) -> Result<Order, CommandError> {
    check_lines(&cmd.lines)?;
    let id = OrderId::from_uuid(ids::fresh());
    let product_ids: Vec<ProductId> = cmd.lines.iter().map(|line| line.product_id).collect();
    let request = cmd.request();
    db.transaction("create_order", async |tx| {
        if let Some(answered) = once::answered(tx, call, &request).await? {
            return Ok(answered);
        }
        // Shared with other orders of the customer; keeps `delete_user` out until this order can be seen.
        let customer = users::share(tx, cmd.customer_id).await?.ok_or_else(|| {
            let entity = Entity::User(cmd.customer_id);
            Refusal::NotFound {
                path: path([&"onBehalfOf"]),
                entity,
            }
        })?;
        let catalogue = products::read_many(tx, &product_ids).await?; // no lock: stock is decided later
        let order = Order::place(id, call.at, &customer, &cmd.lines, &catalogue)?;
        orders::insert(tx, &order).await?;
        outbox::append(tx, db.encoding(), &[announce(call, &order)]).await?;
        once::keep(tx, call, order).await
    })
    .await
}

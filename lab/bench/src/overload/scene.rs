//! The shop that the load is offered to: who buys, what there is, and orders to look at.

use std::net::SocketAddr;

use serde_json::json;
use shop_lab::check::Kind;
use shop_lab::check::evidence::Line;
use shop_lab::client::{Shop, Token, documents};
use shop_lab::stage::Progress;
use shop_lab::stage::catalogue::create_product;
use uuid::Uuid;

/// Who buys. So many that who has placed orders all along does not have thousands of them at the end: what a page of them takes is to be
/// the same in the first storm and the last.
const CUSTOMERS: usize = 200;
/// What there is.
const PRODUCTS: usize = 50;
/// Units of each, which no storm uses up.
const UNITS: i64 = 100_000_000;
/// Orders of each customer, before the load.
const ORDERS: usize = 10;

/// A customer with what is the customer's own.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    /// The token.
    pub token: Token,
    /// Orders that were placed before the load.
    pub orders: Vec<Uuid>,
}

/// What requests are made of.
#[derive(Debug)]
pub(super) struct Scene {
    /// Where the API is.
    pub address: SocketAddr,
    /// Who asks.
    pub customers: Vec<Customer>,
    /// Who puts units on the shelf.
    pub admin: Token,
    /// What there is.
    pub products: Vec<Uuid>,
}

impl Scene {
    /// Fills the shop.
    ///
    /// # Errors
    /// If the shop refuses.
    pub async fn fill(
        shop: &Shop,
        address: SocketAddr,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        progress.set("filling the shop");
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            products.push(create_product(shop, &format!("Mug {number}"), UNITS).await?);
        }
        let mut customers = Vec::new();
        for number in 1..=CUSTOMERS {
            let email = format!("customer{number}@example.org");
            let input = json!({ "name": format!("Customer {number}"), "email": email });
            let document = documents::CREATE_USER;
            let created = shop.manage("createUser", document, input, Kind::User);
            let customer = created.await?;
            let lines = |n: usize| {
                let product = products[(number + n) % PRODUCTS];
                let quantity = 1;
                vec![Line { product, quantity }]
            };
            let orders: Vec<_> = (0..ORDERS).map(lines).collect();
            let placed = shop.place_orders(customer, &orders).await?;
            customers.push(Customer {
                token: Token::customer(customer)?,
                orders: placed.into_iter().map(|(order, _)| order).collect(),
            });
        }
        Ok(Self {
            address,
            customers,
            admin: Token::admin()?,
            products,
        })
    }
}

//! What there is in the shop that is fuzzed, and who asks.

use fastrand::Rng;
use serde_json::json;
use uuid::Uuid;

use crate::check::evidence::{Kind, Line};
use crate::client::{Shop, Token, documents};
use crate::stage::catalogue::create_product;

const CUSTOMERS: usize = 20;
const PRODUCTS: usize = 40;
/// Orders of each customer.
const ORDERS: usize = 5;
const UNITS: i64 = 1_000_000;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nobody who says so.
    Nobody,
    /// Somebody with a token that was spoiled.
    Forger,
    /// One of the customers, by number.
    Customer(usize),
    /// Staff.
    Staff,
    /// An administrator.
    Admin,
}

/// What there is. By number the same in every run, whatever the ids are.
#[derive(Debug, Default)]
pub struct Things {
    /// Users.
    pub customers: Vec<Uuid>,
    /// Products.
    pub products: Vec<Uuid>,
    /// Orders, the first of them the first customer's.
    pub orders: Vec<Uuid>,
}

impl Role {
    /// Somebody.
    pub fn of(chance: &mut Rng) -> Self {
        match chance.u8(0..100) {
            0..5 => Self::Nobody,
            5..8 => Self::Forger,
            8..45 => Self::Customer(chance.usize(..CUSTOMERS)),
            45..65 => Self::Staff,
            _ => Self::Admin,
        }
    }

    /// The value of `Authorization`.
    ///
    /// # Errors
    /// If no token can be signed.
    pub fn bearer(self, things: &Things) -> anyhow::Result<Option<String>> {
        let token = match self {
            Self::Nobody => return Ok(None),
            Self::Forger => {
                let token = Token::admin()?.bearer();
                return Ok(Some(token[..token.len() - 2].to_owned()));
            }
            Self::Customer(number) => {
                let customer = things.customers.get(number).copied().unwrap_or_default();
                Token::customer(customer)?
            }
            Self::Staff => Token::staff()?,
            Self::Admin => Token::admin()?,
        };
        Ok(Some(token.bearer()))
    }
}

impl Things {
    /// Fills the shop.
    ///
    /// # Errors
    /// If the shop refuses.
    pub async fn create(shop: &Shop) -> anyhow::Result<Self> {
        let mut things = Self::default();
        for number in 1..=PRODUCTS {
            let product = create_product(shop, &format!("Mug {number}"), UNITS).await?;
            things.products.push(product);
        }
        for number in 1..=CUSTOMERS {
            let email = format!("customer{number}@example.org");
            let input = json!({ "name": format!("Customer {number}"), "email": email });
            let document = documents::CREATE_USER;
            let created = shop.manage("createUser", document, input, Kind::User);
            let customer = created.await?;
            let lines = |n: usize| {
                let product = things.products[(number + n) % PRODUCTS];
                let quantity = 1;
                vec![Line { product, quantity }]
            };
            let orders: Vec<_> = (0..ORDERS).map(lines).collect();
            let placed = shop.place_orders(customer, &orders).await?;
            things.customers.push(customer);
            things
                .orders
                .extend(placed.into_iter().map(|(order, _)| order));
        }
        Ok(things)
    }

    /// A public id of something, of the kind that a name speaks of.
    pub fn id(&self, hint: &str, chance: &mut Rng) -> String {
        let hint = hint.to_ascii_lowercase();
        let kind = match () {
            () if hint.contains("product") => 0,
            () if hint.contains("user") || hint.contains("customer") || hint.contains("behalf") => {
                1
            }
            () if hint.contains("order") => 2,
            () => chance.u8(0..3),
        };
        let (word, all) = match kind {
            0 => ("product", &self.products),
            1 => ("user", &self.customers),
            _ => ("order", &self.orders),
        };
        let id = chance.choice(all).copied().unwrap_or_default();
        format!("{word}_{id}")
    }
}

//! Users and products of a run.

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use crate::check::evidence::{Kind, Line};
use crate::client::{Shop, documents};

const CUSTOMERS: usize = 4;
const PRODUCTS: usize = 5;
const PLENTY: i64 = 1_000_000;
/// Units of the scarce product; nobody ever gets one, since everybody asks for more.
const SCARCE: i64 = 3;

/// What can be bought, and who buys.
#[derive(Debug, Clone)]
pub struct Catalogue {
    customers: Vec<Uuid>,
    products: Vec<Uuid>,
    /// A product of which there is less than [`Catalogue::too_much`] asks for.
    pub scarce: Uuid,
}

impl Catalogue {
    /// Creates it, with a few changes so that versions above 1 travel too.
    ///
    /// # Errors
    /// If the shop refuses.
    pub async fn create(shop: &Shop) -> anyhow::Result<Self> {
        let mut customers = Vec::new();
        for number in 1..=CUSTOMERS {
            let name = format!("Customer {number}");
            let input = json!({ "name": name, "email": format!("customer{number}@example.org") });
            let document = documents::CREATE_USER;
            customers.push(
                shop.manage("createUser", document, input, Kind::User)
                    .await?,
            );
        }
        let mut products = Vec::new();
        for number in 1..=PRODUCTS {
            products.push(create_product(shop, &format!("Mug {number}"), PLENTY).await?);
        }
        let scarce = create_product(shop, "The last mugs", SCARCE).await?;
        let catalogue = Self {
            customers,
            products,
            scarce,
        };
        catalogue.change(shop).await?;
        Ok(catalogue)
    }

    async fn change(&self, shop: &Shop) -> anyhow::Result<()> {
        let customer = self.customers.first().context("no customer")?;
        let input = json!({ "id": format!("user_{customer}"), "name": "Ada Ålander" });
        shop.manage("updateUser", documents::UPDATE_USER, input, Kind::User)
            .await?;
        let product = self.products.first().context("no product")?;
        let id = format!("product_{product}");
        let price = json!({ "amount": "13.49", "currencyCode": "EUR" });
        let input = json!({ "id": id, "description": "Holds 0.3 l.", "price": price });
        shop.manage(
            "updateProduct",
            documents::UPDATE_PRODUCT,
            input,
            Kind::Product,
        )
        .await?;
        for (delta, reason) in [(500, "RECEIVED"), (-7, "CORRECTION")] {
            let input = json!({ "productId": id, "delta": delta, "reason": reason });
            shop.manage(
                "adjustStock",
                documents::ADJUST_STOCK,
                input,
                Kind::StockLevel,
            )
            .await?;
        }
        Ok(())
    }

    /// Somebody.
    pub fn customer(&self) -> Uuid {
        fastrand::choice(&self.customers)
            .copied()
            .unwrap_or_default()
    }

    /// Something of which there is plenty.
    pub fn product(&self) -> Uuid {
        fastrand::choice(&self.products)
            .copied()
            .unwrap_or_default()
    }

    /// One to three lines of what there is plenty of, no product twice.
    pub fn some_lines(&self) -> Vec<Line> {
        fastrand::choose_multiple(&self.products, fastrand::usize(1..=3))
            .into_iter()
            .map(|product| Line {
                product: *product,
                quantity: fastrand::i64(1..=3),
            })
            .collect()
    }

    /// Lines of which one can not be had: more than there is.
    pub fn too_much(&self) -> Vec<Line> {
        let mut lines = self.some_lines();
        lines.push(Line {
            product: self.scarce,
            quantity: SCARCE + 2,
        });
        lines
    }

    /// What a rejection of [`Catalogue::too_much`] says: units asked for, units there.
    pub const TOO_MUCH: (i64, i64) = (SCARCE + 2, SCARCE);
}

/// Creates a product with so many units.
///
/// # Errors
/// If the shop refuses.
pub async fn create_product(shop: &Shop, name: &str, units: i64) -> anyhow::Result<Uuid> {
    let price = json!({ "amount": "12.99", "currencyCode": "EUR" });
    let input =
        json!({ "name": name, "description": "For the demo.", "price": price, "stock": units });
    shop.manage(
        "createProduct",
        documents::CREATE_PRODUCT,
        input,
        Kind::Product,
    )
    .await
}

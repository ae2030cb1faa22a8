//! An administrator at work while customers buy: prices change, units come in, customers are renamed.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::run::Run;
use crate::check::Violation;
use crate::check::evidence::Kind;
use crate::client::documents;

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(300);

/// An administrator at work, who goes home when this is dropped.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Starts to change things.
    pub fn start(run: &Run) -> Self {
        let run = run.clone();
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Err(error) = change(&run).await {
                    run.violate(Violation::new(12, "an administrator", format!("{error:#}")));
                }
            }
        }))
    }
}

/// One change; what is not answered is not done again.
async fn change(run: &Run) -> anyhow::Result<()> {
    let product = format!("product_{}", run.catalogue.product());
    let (mutation, document, input, kind) = match fastrand::u8(0..3) {
        0 => (
            "adjustStock",
            documents::ADJUST_STOCK,
            json!({ "productId": product, "delta": fastrand::i64(1..5), "reason": "RECEIVED" }),
            Kind::StockLevel,
        ),
        1 => (
            "updateProduct",
            documents::UPDATE_PRODUCT,
            json!({ "id": product, "description": format!("Holds {} cl.", fastrand::u8(1..99)) }),
            Kind::Product,
        ),
        _ => (
            "updateUser",
            documents::UPDATE_USER,
            json!({
                "id": format!("user_{}", run.catalogue.customer()),
                "name": format!("Customer {}", fastrand::u16(..)),
            }),
            Kind::User,
        ),
    };
    run.shop.try_manage(mutation, document, input, kind).await?;
    Ok(())
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! `RACE=n`: many buyers at once for few units, n times.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use uuid::Uuid;

use super::options::Options;
use crate::check::Violation;
use crate::check::evidence::{Kind, Line};
use crate::client::documents;
use crate::stage::Run;
use crate::stage::catalogue::create_product;
use crate::stage::figures::Hop;

/// `PAYMENT_TIMEOUT` of the race: what is held stays held.
pub const PAYMENT_TIMEOUT: &str = "15m";
const BOUND: Duration = Duration::from_secs(30);

/// Runs the race so many times; every buyer wants one unit.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(run: &Run, options: &Options, times: usize) -> anyhow::Result<()> {
    for number in 1..=times {
        run.progress.set(format!(
            "race {number} of {times}: {} buyers for {} units",
            options.buyers, options.units
        ));
        let units = i64::try_from(options.units)?;
        let product = create_product(&run.shop, &format!("A rare mug, {number}"), units).await?;
        let buyers = (0..options.buyers).map(|_| {
            let run = run.clone();
            tokio::spawn(async move { buy(&run, product).await })
        });
        let outcomes = futures::future::try_join_all(buyers).await?;
        let statuses = outcomes
            .into_iter()
            .collect::<anyhow::Result<Vec<String>>>()?;
        let held = statuses
            .iter()
            .filter(|status| *status == "CONFIRMED")
            .count();
        if held != options.units {
            let problem = format!(
                "{held} of {} buyers got one of {units} units",
                options.buyers
            );
            run.violate(Violation::new(3, Kind::Product.id(product), problem));
        }
    }
    Ok(())
}

/// Buys one unit; whoever gets none is told why.
async fn buy(run: &Run, product: Uuid) -> anyhow::Result<String> {
    let lines = [Line {
        product,
        quantity: 1,
    }];
    let placed = run
        .shop
        .create_order(run.catalogue.customer(), &lines)
        .await?;
    let placed = placed.context("createOrder was not answered")?;
    run.keep(placed.id);
    let arrival = placed
        .watch
        .reached(&["CONFIRMED", "REJECTED"], BOUND)
        .await?;
    let status = arrival.frame.status;
    if status == "REJECTED" {
        run.figures
            .note(Hop::CreateRejected, arrival.at - placed.sent);
        let variables = json!({ "id": format!("order_{}", placed.id) });
        let buyer = run.shop.buyer(placed.id)?;
        let view = run.shop.query(&buyer, documents::ORDER, variables).await?;
        let product = format!("product_{product}");
        let expected = json!([{ "productId": product, "requested": 1, "available": 0 }]);
        ensure!(
            view["order"]["shortages"] == expected,
            "order_{}: a rejection should name {expected}, the view says {view}",
            placed.id
        );
    } else {
        run.figures
            .note(Hop::CreateConfirmed, arrival.at - placed.sent);
    }
    run.watch_on(placed.watch);
    Ok(status)
}

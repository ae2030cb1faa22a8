//! One poisoned order among a thousand: the others must not notice.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::StreamExt;
use futures::stream;
use uuid::Uuid;

use super::poison::Curse;
use crate::chaos::scene::Scene;
use crate::check::Violation;
use crate::check::evidence::Line;
use crate::client::shop::Placed;
use crate::stage::catalogue::create_product;

/// Orders of a run.
const ORDERS: usize = 1_000;
/// Which of them is poisoned.
const POISONED: usize = 300;
/// Buyers at once, and nobody else: as many as leave the machine room, since a delay on a full one tells of the queue alone.
const BUYERS: usize = 8;
/// Runs in all. Every third has the poison: seven are without it.
const RUNS: usize = 10;
const EVERY: usize = 3;
/// How long an order may take.
const BOUND: Duration = Duration::from_mins(2);

/// Runs with the poison among seven without it: their other orders end as those, and are as a rule not later than those. One run
/// alone would be the latest of eight by chance too often.
pub async fn one_among(scene: &Scene) -> anyhow::Result<()> {
    let product = create_product(&scene.run.shop, "The cursed mug", 200).await?;
    scene.without_load().await?;
    // Caches and pools fill.
    run(scene, None).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 1..=RUNS {
        if number % EVERY == 0 {
            with.push(p99(poisoned(scene, product).await?));
        } else {
            without.push(p99(run(scene, None).await?.0));
        }
    }
    with.sort_unstable();
    without.sort_unstable();
    let typical = with[with.len() / 2];
    let (least, most) = (without[0], without[without.len() - 1]);
    scene.remark(format!(
        "p99 {typical:.0?} with the poison (median of {}), {least:.0?} to {most:.0?} in {} runs without",
        with.len(),
        without.len()
    ));
    if typical > most {
        let problem = format!("p99 {with:?} of the others, at most {most:?} without it");
        scene.violate(Violation::new(
            12,
            "the others of a poisoned order",
            problem,
        ));
    }
    Ok(())
}

/// A run with one poisoned order, which is mended afterwards; how long the others took.
async fn poisoned(scene: &Scene, product: Uuid) -> anyhow::Result<Vec<Duration>> {
    let curse = Curse::put(scene, product).await?;
    let (delays, poisoned) = run(scene, Some(product)).await?;
    let poisoned = poisoned.context("the poisoned order was not placed")?;
    scene.note_with(ORDERS);
    curse.wait_until_dead(scene, poisoned.id).await?;
    curse.lift(scene, Some(poisoned.id)).await?;
    poisoned.watch.reached(&["CONFIRMED"], BOUND).await?;
    scene.run.watch_on(poisoned.watch);
    Ok(delays)
}

/// Places a thousand orders; how long each took to be confirmed, and the poisoned one, which is not waited for.
async fn run(
    scene: &Scene,
    cursed: Option<Uuid>,
) -> anyhow::Result<(Vec<Duration>, Option<Placed>)> {
    let buyers = (0..ORDERS).map(|number| async move {
        let lines = match cursed {
            Some(product) if number == POISONED => vec![Line {
                product,
                quantity: 2,
            }],
            _ => scene.run.catalogue.some_lines(),
        };
        let shop = scene.run.shop.always_keyed();
        let placed = shop
            .create_order(scene.run.catalogue.customer(), &lines)
            .await?;
        let placed = placed.context("createOrder was not answered")?;
        if cursed.is_some() && number == POISONED {
            return Ok((None, Some(placed)));
        }
        let arrival = placed
            .watch
            .reached(&["CONFIRMED", "REJECTED"], BOUND)
            .await?;
        ensure!(
            arrival.frame.status == "CONFIRMED",
            "{} is rejected",
            placed.id
        );
        anyhow::Ok((Some(arrival.at - placed.sent), None))
    });
    let mut outcomes = stream::iter(buyers).buffer_unordered(BUYERS);
    let (mut delays, mut poisoned) = (Vec::new(), None);
    while let Some(outcome) = outcomes.next().await {
        let (delay, placed) = outcome?;
        delays.extend(delay);
        poisoned = poisoned.or(placed);
    }
    Ok((delays, poisoned))
}

fn p99(mut delays: Vec<Duration>) -> Duration {
    delays.sort_unstable();
    let rank = (delays.len() * 99).div_ceil(100).max(1);
    delays.get(rank - 1).copied().unwrap_or_default()
}

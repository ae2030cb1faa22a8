//! One poisoned order among a thousand: the others must not notice.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::StreamExt;
use futures::stream;
use uuid::Uuid;

use super::poison::Curse;
use crate::chaos::scene::Scene;
use crate::check::Violation;
use crate::check::evidence::{Kind, Line};
use crate::client::shop::Placed;
use crate::stage::catalogue::create_product;

/// Orders of a run.
const ORDERS: usize = 1_000;
/// Which of them is poisoned.
const POISONED: usize = 300;
/// Buyers at once.
const BUYERS: usize = 40;
/// Runs without the poison, half of them before the one with it.
const CLEAN: usize = 7;
/// How long an order may take.
const BOUND: Duration = Duration::from_mins(2);

/// Seven runs without the poison around one with it: its other orders end as theirs, and are not later than theirs.
pub async fn one_among(scene: &Scene) -> anyhow::Result<()> {
    let product = create_product(&scene.run.shop, "The cursed mug", 50).await?;
    let mut clean = Vec::new();
    for _ in 0..CLEAN / 2 {
        clean.push(p99(run(scene, None).await?.0));
    }
    let curse = Curse::put(scene, product).await?;
    let (delays, poisoned) = run(scene, Some(product)).await?;
    let poisoned = poisoned.context("the poisoned order was not placed")?;
    scene.note_with(ORDERS);
    let with_poison = p99(delays);
    curse.wait_until_dead(scene, poisoned.id).await?;
    curse.lift(scene, Some(poisoned.id)).await?;
    poisoned.watch.reached(&["CONFIRMED"], BOUND).await?;
    scene.run.watch_on(poisoned.watch);
    while clean.len() < CLEAN {
        clean.push(p99(run(scene, None).await?.0));
    }
    let (least, most) = (
        clean.iter().min().copied().unwrap_or_default(),
        clean.iter().max().copied().unwrap_or_default(),
    );
    scene.remark(format!(
        "p99 {with_poison:.0?} with the poison, {least:.0?} to {most:.0?} in {CLEAN} runs without"
    ));
    if with_poison > most {
        let problem = format!("p99 {with_poison:?} of the others, at most {most:?} without it");
        scene.violate(Violation::new(12, Kind::Order.id(poisoned.id), problem));
    }
    Ok(())
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

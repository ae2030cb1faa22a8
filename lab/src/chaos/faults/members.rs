//! Several copies of a program: relays that take over from each other, consumers that come and go.

use std::time::Duration;

use anyhow::Context;

use super::programs;
use super::steps::ONE_LOOK_AND_A_HALF;
use crate::chaos::scene::Scene;
use crate::host::Deadline;

/// How long a leader is looked for.
const BOUND: Duration = Duration::from_secs(15);

/// The relay that sends is killed.
pub async fn kill_leader(scene: &Scene) -> anyhow::Result<()> {
    let leader = leader(scene).await?;
    programs::kill_one(scene, &leader).await;
    Ok(())
}

/// The relay that sends is stopped for longer than its lease; then it wakes up as a former leader.
pub async fn stop_leader(scene: &Scene) -> anyhow::Result<()> {
    let leader = leader(scene).await?;
    scene.programs.pause(&leader, true);
    scene.note();
    tokio::time::sleep(scene.some_millis(5_000..7_000)).await;
    scene.programs.pause(&leader, false);
    Ok(())
}

/// Nothing at all, for a second: two relays side by side.
pub async fn let_be(scene: &Scene) -> anyhow::Result<()> {
    scene.note();
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Nothing is reserved for a while, and then all of it. Who looks slowly at a new order meanwhile (`steps::SLOW_LOOK`), for the first time or
/// again since there was nothing to see yet, finds it PENDING, and it changes before the look is over.
pub async fn reserve_late(scene: &Scene) -> anyhow::Result<()> {
    let copies = scene.programs.labels_of("stock-reservation");
    for copy in &copies {
        scene.programs.pause(copy, true);
    }
    scene.note();
    tokio::time::sleep(ONE_LOOK_AND_A_HALF).await;
    for copy in &copies {
        scene.programs.pause(copy, false);
    }
    Ok(())
}

/// A second copy of each consumer goes away, for a moment or for longer than its session, and comes back.
pub async fn come_and_go(scene: &Scene) -> anyhow::Result<()> {
    let role = scene.one_of(&["stock-reservation", "order-saga", "projector"])?;
    let copy = scene.one_of(&scene.programs.labels_of(role))?;
    scene.programs.send_away(&copy, true);
    scene.note();
    tokio::time::sleep(scene.some_millis(500..7_500)).await;
    scene.programs.send_away(&copy, false);
    Ok(())
}

/// Which relay sends.
async fn leader(scene: &Scene) -> anyhow::Result<String> {
    let deadline = Deadline::after(BOUND);
    while !deadline.passed() {
        for relay in scene.programs.labels_of("outbox-relay") {
            if scene.back.leads(&relay).await {
                return Ok(relay);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None.context("no relay leads")
}

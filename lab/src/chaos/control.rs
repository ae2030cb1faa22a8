//! One control: a shop of its own whose programs lack a guard. The check must see it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::ControlRow;
use super::scene::{Scene, Setting, World};
use super::table::Control;
use super::trial::audit;
use crate::check::Violation;
use crate::check::quiet::Waiting;
use crate::stage::{Keeper, Load};

const WARM_UP: Duration = Duration::from_millis(1_500);
/// How long clients wait for a frame that may never come.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a shop may take to be quiet that perhaps never will be.
const QUIET_BOUND: Duration = Duration::from_secs(8);

/// Runs a control.
pub async fn control(world: &Arc<World>, control: &Control) -> ControlRow {
    let started = Instant::now();
    let mut row = ControlRow {
        guard: control.guard.to_owned(),
        ..ControlRow::default()
    };
    match violations_without(world, control).await {
        Ok(violations) => {
            let by: BTreeSet<u8> = violations.iter().map(|found| found.invariant).collect();
            row.caught = !violations.is_empty();
            row.by = by.into_iter().collect();
            // What it is about says more than that something did not end.
            let example = violations.iter().min_by_key(|found| found.invariant == 12);
            row.example = example.map(ToString::to_string);
            row.violations = violations.len();
        }
        Err(error) => row.trouble = Some(format!("{error:#}")),
    }
    row.seconds = started.elapsed().as_secs_f64();
    row
}

async fn violations_without(
    world: &Arc<World>,
    control: &Control,
) -> anyhow::Result<Vec<Violation>> {
    let mut settings = Setting::quick_to_give_up();
    settings.push(("GUARD_OFF", control.guard.to_owned()));
    let more = control.settings.iter();
    settings.extend(more.map(|(name, value)| (*name, (*value).to_owned())));
    let setting = Setting {
        name: control.guard,
        payment_timeout: "15m",
        copies: 2,
        settings,
    };
    let scene = Scene::open(world, &setting).await?;
    let found = provoke(&scene, control).await;
    scene.close().await;
    found
}

async fn provoke(scene: &Scene, control: &Control) -> anyhow::Result<Vec<Violation>> {
    let (load, mut clients) = Load::start(&scene.run);
    load.nobody_leaves();
    load.set_patience(PATIENCE);
    let keeper = Keeper::start(&scene.run);
    scene.begin(control.guard, Some(load.clone()));
    tokio::time::sleep(WARM_UP).await;
    for _ in 0..control.strikes {
        (control.strike)(scene).await?;
        tokio::time::sleep(scene.some_millis(300..800)).await;
    }
    load.stop();
    while clients.join_next().await.is_some() {}
    drop(keeper);
    let mut found = scene.take_done().violations;
    let audit = audit(scene, QUIET_BOUND, Waiting::Stock).await?;
    found.extend(if control.repeats {
        audit.repeats
    } else {
        audit.violations
    });
    Ok(found)
}

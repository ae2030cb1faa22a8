//! One run of the suite: shops one after the other, controls beside them while nothing happens to the servers.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::control::control;
use super::options::Options;
use super::proxies::Proxies;
use super::report::{ControlRow, INVARIANTS, Report, Row};
use super::scene::{Scene, World};
use super::servers::Servers;
use super::table::{CONTROLS, Control, FAULTS, Fault, Shop};
use super::trial::{Known, trial};
use crate::programs::target;
use crate::site::Site;
use crate::stage::{Progress, interrupted};

/// Runs the suite; true if every promise was kept and every missing guard was noticed.
///
/// # Errors
/// If it could not be run to its end.
pub async fn chaos(options: Options) -> anyhow::Result<bool> {
    let started = Instant::now();
    println!("{}", options.again());
    let target = target()?;
    let (file, logs) = (target.join("chaos.json"), target.join("chaos-logs"));
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs)?;
    let servers = Servers::from_env()?;
    Site::remove_leftovers("chaos").await?;
    let proxies = Proxies::start(&logs.join("toxiproxy.log"), &servers.notes()).await?;
    let progress = Progress::start();
    let world = Arc::new(World {
        options,
        servers,
        proxies,
        logs,
        progress: progress.clone(),
    });
    let mut report = Report {
        again: world.options.again(),
        seed: world.options.seed,
        invariants: INVARIANTS.to_vec(),
        ..Report::default()
    };
    let ended = tokio::select! {
        ended = everything(&world, &mut report) => ended,
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    progress.finish();
    report.seconds = started.elapsed().as_secs_f64();
    print!("{}", report.table());
    ended?;
    report.write(&file)?;
    println!("{}", file.display());
    Ok(report.is_good())
}

async fn everything(world: &Arc<World>, report: &mut Report) -> anyhow::Result<()> {
    let wanted: Vec<&Control> = CONTROLS
        .iter()
        .filter(|control| world.options.wants(control.guard, false))
        .collect();
    let controls = async {
        let mut rows: Vec<ControlRow> = Vec::new();
        for wanted in wanted {
            let row = control(world, wanted).await;
            eprintln!("{}", row.line());
            rows.push(row);
        }
        rows
    };
    // What leaves the servers alone goes on side by side, in shops of its own.
    let (programs, records, controls) = tokio::join!(
        shops(world, &[Shop::Programs]),
        shops(world, &[Shop::Records, Shop::Races]),
        controls,
    );
    report.controls = controls;
    report.faults = programs?;
    report.faults.extend(records?);
    report.faults.extend(shops(world, &[Shop::Servers]).await?);
    Ok(())
}

/// Shops one after the other.
async fn shops(world: &Arc<World>, kinds: &[Shop]) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in kinds {
        rows.extend(shop(world, *kind).await?);
    }
    Ok(rows)
}

/// All faults of one shop.
async fn shop(world: &Arc<World>, kind: Shop) -> anyhow::Result<Vec<Row>> {
    let wanted: Vec<&Fault> = FAULTS
        .iter()
        .filter(|fault| fault.shop == kind && world.options.wants(fault.name, fault.long))
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let scene = Scene::open(world, &kind.setting()).await;
    let scene = scene.context("failed to open a shop")?;
    let (mut rows, mut known) = (Vec::new(), Known::default());
    for fault in wanted {
        let row = trial(&scene, fault, &mut known).await;
        eprintln!("{}", row.line());
        rows.push(row);
    }
    scene.close().await;
    Ok(rows)
}

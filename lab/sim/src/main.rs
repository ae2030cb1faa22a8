//! `make sim SEEDS=10000`: runs seeds, then with every mistake planted until one of them finds it. `make sim SEED=123 TRACE=1` runs
//! one and prints its steps. Exits 0 if every promise was kept and every mistake found, 1 if not, 64 for a bad setting.

use std::process::ExitCode;
use std::time::Instant;

use shop_sim::options::Options;
use shop_sim::plant::Plant;
use shop_sim::run::{Plan, Sweep, sweep};

/// Seeds that a planted mistake must be found by, at least as many as are asked for.
const SEEDS_PER_PLANT: u64 = 2_000;

fn main() -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "its settings are variables, as with every target"
    )]
    let options = Options::read(|name| std::env::var(name).ok());
    let kept = match options {
        Ok(Options::One { plan, trace }) => one(plan, trace),
        Ok(Options::Many {
            seeds,
            plant: Some(plant),
        }) => is_found(plant, seeds),
        Ok(Options::Many { seeds, plant: None }) => many(seeds),
        Err(error) => {
            eprintln!("sim: {error:#}");
            return ExitCode::from(64);
        }
    };
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn one(plan: Plan, trace: bool) -> bool {
    let outcome = plan.run(trace);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("{} steps, faults: {}", outcome.steps, outcome.faults);
    let Some(violation) = outcome.violation else {
        println!("every promise was kept");
        return true;
    };
    println!("not kept: {}: {}", violation.promise, violation.what);
    let smaller = plan.shrink();
    if smaller != plan {
        println!("smaller:  {smaller} TRACE=1");
    }
    false
}

fn many(seeds: u64) -> bool {
    let started = Instant::now();
    let Sweep { runs, failed } = sweep(0..seeds, None);
    let took = started.elapsed();
    if let Some((plan, violation)) = failed {
        println!("not kept: {}: {}", violation.promise, violation.what);
        println!("run:      {plan}");
        println!("smaller:  {} TRACE=1", plan.shrink());
        return false;
    }
    println!("{runs} seeds in {took:.1?}: 0 violations");
    println!("planted mistakes:");
    let found: Vec<bool> = Plant::ALL
        .into_iter()
        .map(|plant| is_found(plant, seeds.max(SEEDS_PER_PLANT)))
        .collect();
    found.into_iter().all(|found| found)
}

fn is_found(plant: Plant, seeds: u64) -> bool {
    if let Some((plan, violation)) = sweep(0..seeds, Some(plant)).failed {
        println!(
            "  {:<14} found by seed {:<5} {} ({plan})",
            plant.as_str(),
            plan.seed,
            violation.promise
        );
        true
    } else {
        println!("  {:<14} NOT FOUND by {seeds} seeds", plant.as_str());
        false
    }
}

//! Runs: one seed, many seeds, and a failing one made smaller.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::fault::{Fault, Faults};
use crate::lanes::Lanes;
use crate::plant::Plant;
use crate::shop::{Shop, Violation};
use crate::world::World;

/// Steps between opening and the last calm, at most.
const MOST_STEPS: usize = 300;

/// Milliseconds that pass unnoticed by those who wait.
const GRAIN: i64 = 50;

/// All that a run depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// The mistake that is planted.
    pub plant: Option<Plant>,
    /// What may go wrong; `None`: what the seed says.
    pub faults: Option<Faults>,
    /// Steps before everything heals; `None`: as many as the seed says.
    pub steps: Option<usize>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first promise that was not kept.
    pub violation: Option<Violation>,
    /// The steps, if they were asked for.
    pub trace: Vec<String>,
    /// What could go wrong.
    pub faults: Faults,
    /// Steps before everything healed.
    pub steps: usize,
}

impl Plan {
    /// A seed, as it is.
    pub const fn new(seed: u64, plant: Option<Plant>) -> Self {
        Self {
            seed,
            plant,
            faults: None,
            steps: None,
        }
    }

    /// Runs it. In: whether the steps are written down.
    pub fn run(self, traced: bool) -> Outcome {
        // A seed of its own for what it may leave out, so that the rest of a smaller run stays the same.
        let mut rng = fastrand::Rng::with_seed(self.seed ^ 0x5eed);
        let chosen: Faults = Fault::ALL.into_iter().filter(|_| rng.bool()).collect();
        let faults = self.faults.unwrap_or(chosen);
        let steps = self.steps.unwrap_or(rng.usize(50..MOST_STEPS));
        fastrand::seed(self.seed); // the jitter of waits
        let shop = Shop::new(self.seed, faults, self.plant, traced);
        let done = catch_unwind(AssertUnwindSafe(|| play(shop, steps)));
        let (violation, trace) = done.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            let violation = Violation {
                promise: "nobody panics",
                what: what.unwrap_or_default(),
            };
            (Some(violation), Vec::new())
        });
        Outcome {
            violation,
            trace,
            faults,
            steps,
        }
    }

    /// A smaller run that breaks a promise too: fewer kinds of trouble, fewer steps.
    #[must_use]
    pub fn shrink(self) -> Self {
        let fails = |plan: &Self| plan.run(false).violation.is_some();
        let mut outcome = self.run(false);
        let mut smallest = self;
        for fault in outcome.faults.iter() {
            let smaller = Self {
                faults: Some(outcome.faults.without(fault)),
                steps: Some(outcome.steps),
                ..self
            };
            if fails(&smaller) {
                outcome.faults = outcome.faults.without(fault);
                smallest = smaller;
            }
        }
        let mut steps = outcome.steps;
        let mut cut = steps / 2;
        while cut > 0 {
            let smaller = Self {
                steps: Some(steps.saturating_sub(cut)),
                ..smallest
            };
            if fails(&smaller) {
                steps = steps.saturating_sub(cut);
                smallest = smaller;
            } else {
                cut /= 2;
            }
        }
        smallest
    }
}

/// The command that runs it again.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make sim SEED={}", self.seed)?;
        if let Some(plant) = self.plant {
            write!(f, " PLANT={plant}")?;
        }
        if let Some(faults) = self.faults {
            write!(f, " FAULTS={faults}")?;
        }
        if let Some(steps) = self.steps {
            write!(f, " STEPS={steps}")?;
        }
        Ok(())
    }
}

fn play(shop: Shop, steps: usize) -> (Option<Violation>, Vec<String>) {
    let runtime = paused();
    let pass = |millis: i64| {
        let millis = u64::try_from(millis).unwrap_or_default();
        runtime.block_on(tokio::time::advance(Duration::from_millis(millis)));
    };
    let mut world = {
        let _inside = runtime.enter();
        World::open(shop)
    };
    let calm = steps / world.shop.rng.usize(1..6) + 1;
    let mut passing = 0;
    for step in 1..=steps {
        passing += {
            let _inside = runtime.enter();
            world.step()
        };
        if passing > GRAIN {
            pass(std::mem::take(&mut passing));
        }
        if world.shop.violation.is_none() && (step % calm == 0 || step == steps) {
            world.settle(&runtime, pass);
        }
        if world.shop.violation.is_some() {
            break;
        }
    }
    let mut shop = world.shop;
    if shop.violation.is_none() {
        let mut lanes = Lanes::open(&mut shop);
        for step in 1..=steps {
            lanes.step(&mut shop);
            if step % calm == 0 || step == steps {
                lanes.settle(&mut shop);
            }
            if shop.violation.is_some() {
                break;
            }
        }
    }
    (shop.violation.clone(), shop.into_trace())
}

/// A clock that stands still until it is told.
fn paused() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    #[expect(clippy::expect_used, reason = "it opens nothing")]
    runtime.expect("a runtime without IO")
}

/// What came of many seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// How many were run.
    pub runs: u64,
    /// The smallest one that broke a promise, if any.
    pub failed: Option<(Plan, Violation)>,
}

/// Runs seeds on all cores until one breaks a promise.
pub fn sweep(seeds: Range<u64>, plant: Option<Plant>) -> Sweep {
    let next = AtomicU64::new(seeds.start);
    let first_bad = AtomicU64::new(u64::MAX);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runs = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // Those below a bad one are finished, so that the answer is the same each time.
                    if seed >= seeds.end || seed > first_bad.load(Ordering::Relaxed) {
                        return;
                    }
                    runs.fetch_add(1, Ordering::Relaxed);
                    if Plan::new(seed, plant).run(false).violation.is_some() {
                        first_bad.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = first_bad.into_inner();
    let failed = (seed != u64::MAX).then(|| {
        let plan = Plan::new(seed, plant);
        Some((plan, plan.run(false).violation?))
    });
    Sweep {
        runs: runs.into_inner(),
        failed: failed.flatten(),
    }
}

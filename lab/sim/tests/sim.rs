//! The simulation itself: it finds nothing where nothing is, finds what is planted, and does the same twice.

use shop_sim::plant::Plant;
use shop_sim::run::{Plan, sweep};

#[test]
fn every_promise_is_kept() {
    let swept = sweep(0..300, None);
    assert_eq!(swept.failed, None, "{swept:?}");
    assert_eq!(swept.runs, 300);
}

#[test]
fn every_planted_mistake_is_found() {
    for plant in Plant::ALL {
        let swept = sweep(0..2_000, Some(plant));
        assert!(swept.failed.is_some(), "{plant} was not found");
    }
}

#[test]
fn a_seed_does_the_same_twice_and_a_smaller_run_fails_too() {
    for seed in 0..20 {
        let plan = Plan::new(seed, None);
        assert_eq!(plan.run(true), plan.run(true), "seed {seed}");
    }
    let (plan, _) = sweep(0..2_000, Some(Plant::OffsetFirst))
        .failed
        .expect("it is found");
    let smaller = plan.shrink();
    assert!(smaller.run(false).violation.is_some());
    assert!(smaller.run(false).steps <= plan.run(false).steps);
}

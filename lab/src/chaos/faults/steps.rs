//! Programs that die by themselves between two steps, by the named steps of lab builds.

use std::time::Duration;

use crate::chaos::scene::Scene;
use crate::host::Deadline;

/// How often each program is to die.
const DEATHS: u32 = 5;
/// How long that may take.
const BOUND: Duration = Duration::from_secs(20);
/// How long subscribers look slowly.
const SLOW: Duration = Duration::from_secs(5);
/// A first look that takes long enough for an order to change within it, on a slow machine too. With it the guard is
/// tried, and its control shown to fail without the guard.
pub const SLOW_LOOK: (&str, &str) = ("FAILPOINTS", "live.read=sleep:2s");
/// Longer than one slow look and shorter than two: what is held back so long happens within the first, or within the second.
pub const ONE_LOOK_AND_A_HALF: Duration = Duration::from_secs(3);

/// A program, and the step at which it dies, as `FAILPOINTS` writes it; the passage is drawn.
type Point = (&'static str, &'static str);

/// COMMIT is not sent.
pub const BEFORE_COMMIT: [Point; 4] = [
    ("api", "commit.before@create_order"),
    ("stock-reservation", "commit.before@settle_stock"),
    ("order-saga", "commit.before@settle_orders"),
    ("order-saga-2", "commit.before@cancel_unpaid"),
];
/// COMMIT is answered, nobody was told.
pub const AFTER_COMMIT: [Point; 4] = [
    ("api", "commit.after@pay_order"),
    ("stock-reservation", "commit.after@settle_stock"),
    ("order-saga", "commit.after@settle_orders"),
    ("order-saga-2", "commit.after@cancel_unpaid"),
];
/// Kafka has it, the outbox does not know.
pub const AFTER_PRODUCE: [Point; 2] = [
    ("outbox-relay", "relay.produced"),
    ("outbox-relay-2", "relay.produced"),
];
/// The view is there, nobody was told.
pub const AFTER_VIEW: [Point; 2] = [
    ("projector", "projector.written"),
    ("projector-2", "projector.written"),
];
/// It is done, and will come again.
pub const AFTER_EFFECT: [Point; 4] = [
    ("stock-reservation", "consumer.handled"),
    ("order-saga", "consumer.handled"),
    ("projector", "consumer.handled"),
    ("projector-2", "projector.published"),
];

/// Lets programs die at their steps, again and again, each after some passages.
pub async fn die(scene: &Scene, points: &[Point]) -> anyhow::Result<()> {
    let programs = &scene.programs;
    let deaths = || -> u32 { programs.kills().iter().map(|(_, kills)| kills).sum() };
    let count = u32::try_from(points.len())?;
    let (mut seen, wanted) = (deaths(), deaths() + count * DEATHS);
    for (label, step) in points {
        // The relay and the projector pass often; a mutation of one kind is rare.
        let passage = scene.chance(1..6);
        let points = format!("{step}=kill:{passage}");
        programs.restart_with(label, vec![("FAILPOINTS", points)]);
    }
    let deadline = Deadline::after(BOUND);
    while !deadline.passed() && seen < wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = deaths();
        for _ in seen..now {
            scene.note();
        }
        seen = now;
    }
    Ok(())
}

/// Between a subscriber's first look at the view and what follows, orders change.
pub async fn slow_snapshot(scene: &Scene) -> anyhow::Result<()> {
    let (name, value) = SLOW_LOOK;
    scene
        .programs
        .restart_with("api", vec![(name, value.to_owned())]);
    scene.note();
    tokio::time::sleep(SLOW).await;
    Ok(())
}

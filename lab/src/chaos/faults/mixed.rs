//! All of it at once.

use crate::chaos::scene::Scene;
use crate::chaos::table::MIXED;

/// Two of the strikes of the table at the same time.
pub async fn two_at_once(scene: &Scene) -> anyhow::Result<()> {
    let count = u64::try_from(MIXED.len())?;
    let first = usize::try_from(scene.chance(0..count))?;
    let other = usize::try_from(scene.chance(1..count))?;
    let second = (first + other) % MIXED.len();
    tokio::try_join!(MIXED[first](scene), MIXED[second](scene))?;
    Ok(())
}

//! The lines between programs and servers, by Toxiproxy.

use serde_json::{Value, json};

use crate::chaos::proxies::Wire;
use crate::chaos::scene::Scene;

/// Every connection to one server is closed, and none can be opened for a moment.
pub async fn cut(scene: &Scene) -> anyhow::Result<()> {
    let wire = next_wire(scene)?;
    scene.world.proxies.cut(wire, true).await?;
    scene.note();
    tokio::time::sleep(scene.some_millis(50..2_500)).await;
    scene.world.proxies.cut(wire, false).await
}

/// Every answer and every request of one server is late, by times that vary.
pub async fn delay(scene: &Scene) -> anyhow::Result<()> {
    let attributes = json!({ "latency": 150, "jitter": 120 });
    spoiled(scene, "latency", &attributes).await
}

/// What is sent arrives in pieces of a few bytes.
pub async fn slice(scene: &Scene) -> anyhow::Result<()> {
    let attributes = json!({ "average_size": 40, "size_variation": 30, "delay": 500 });
    spoiled(scene, "slicer", &attributes).await
}

async fn spoiled(scene: &Scene, kind: &str, attributes: &Value) -> anyhow::Result<()> {
    let wire = next_wire(scene)?;
    scene.world.proxies.spoil(wire, kind, attributes).await?;
    scene.note();
    tokio::time::sleep(scene.some_millis(2_000..4_000)).await;
    scene.world.proxies.clear(wire, kind).await
}

/// One after the other, so that each has its turn.
fn next_wire(scene: &Scene) -> anyhow::Result<Wire> {
    let turn = usize::try_from(scene.turn())?;
    scene.one_of(&[Wire::ALL[turn % Wire::ALL.len()]])
}

//! Programs killed and stopped in their tracks, at random.

use crate::chaos::scene::Scene;

/// `kill -9` of one of them.
pub async fn kill(scene: &Scene) -> anyhow::Result<()> {
    let victim = scene.one_of(&scene.programs.labels())?;
    kill_one(scene, &victim).await;
    Ok(())
}

/// Kills a program as soon as it runs.
pub async fn kill_one(scene: &Scene, victim: &str) {
    while !scene.back.kill(victim) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    scene.note();
}

/// SIGSTOP for a while, then SIGCONT. Long enough, sometimes, that others take over.
pub async fn pause(scene: &Scene) -> anyhow::Result<()> {
    let victim = scene.one_of(&scene.programs.labels())?;
    if !scene.programs.pause(&victim, true) {
        return Ok(()); // it is just being started: the next one, then
    }
    scene.note();
    tokio::time::sleep(scene.some_millis(200..4_500)).await;
    scene.programs.pause(&victim, false);
    Ok(())
}

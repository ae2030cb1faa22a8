//! Servers killed, stopped in their tracks, and restarted, under load.

use std::time::Duration;

use anyhow::ensure;

use crate::chaos::scene::Scene;
use crate::chaos::servers::Server;
use crate::host::Deadline;

/// The broker.
pub const KAFKA: Server = Server::Kafka;
/// The write side.
pub const MYSQL: Server = Server::Mysql;
/// The views' store.
pub const POSTGRES: Server = Server::Postgres;
/// The views' door.
pub const FERRETDB: Server = Server::Ferretdb;

/// How long a server may take to stop when asked or killed.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// `kill -9`; it is started again after a moment.
pub async fn kill(scene: &Scene, server: Server) -> anyhow::Result<()> {
    scene.world.servers.kill(server)?;
    scene.note();
    gone(scene, server).await?;
    tokio::time::sleep(scene.some_millis(100..1_500)).await;
    scene.world.servers.up().await
}

/// SIGSTOP: connections stay open, nothing answers.
pub async fn pause(scene: &Scene, server: Server) -> anyhow::Result<()> {
    if !scene.world.servers.pause(server, true)? {
        return Ok(()); // another fault has just killed it: the next one, then
    }
    scene.note();
    tokio::time::sleep(scene.some_millis(1_500..4_000)).await;
    scene.world.servers.pause(server, false)?;
    Ok(())
}

/// An orderly stop and start.
pub async fn restart(scene: &Scene, server: Server) -> anyhow::Result<()> {
    scene.world.servers.terminate(server)?;
    scene.note();
    gone(scene, server).await?;
    scene.world.servers.up().await
}

/// Waits until a server that was told to end has ended.
async fn gone(scene: &Scene, server: Server) -> anyhow::Result<()> {
    let deadline = Deadline::after(STOP_BOUND);
    while scene.world.servers.runs(server) {
        ensure!(
            !deadline.passed(),
            "{server:?} does not stop within {STOP_BOUND:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

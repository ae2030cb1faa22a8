//! Reads the evidence, with the servers' drivers and nothing else.

mod events;
pub mod groups;
pub mod kafka;
pub mod mongo;
pub mod mysql;

use anyhow::Context;

use super::evidence::{Clients, Evidence};
use crate::site::Site;

/// Reads everything about one shop.
///
/// # Errors
/// If a server does not answer, or holds what is no part of a shop.
pub async fn read(site: &Site, clients: Clients) -> anyhow::Result<Evidence> {
    let write = mysql::read(&site.mysql_dsn)
        .await
        .context("failed to read MySQL")?;
    let views = mongo::read(&site.mongo_uri)
        .await
        .context("failed to read MongoDB")?;
    let (brokers, prefix) = (site.kafka_brokers.clone(), site.topic_prefix.clone());
    let poison = clients.poison.clone();
    let log = tokio::task::spawn_blocking(move || kafka::read(&brokers, &prefix, &poison))
        .await?
        .context("failed to read Kafka")?;
    Ok(Evidence {
        write,
        log,
        views,
        clients,
    })
}

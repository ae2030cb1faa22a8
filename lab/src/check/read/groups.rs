//! Reads how far the consumer groups have come.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::kafka;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The groups and the topics that each reads, without prefix.
const GROUPS: [(&str, &[&str]); 3] = [
    ("stock-reservation", &["orders"]),
    ("order-saga", &["stock"]),
    (
        "projector",
        &["users", "products", "stock-levels", "orders"],
    ),
];

/// The groups of a shop.
pub struct Groups {
    prefix: String,
    consumers: BTreeMap<&'static str, BaseConsumer>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl Groups {
    /// Asks as each group, without joining it.
    ///
    /// # Errors
    /// If a client can not be made.
    pub fn open(brokers: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut consumers = BTreeMap::new();
        for (group, _) in GROUPS {
            let consumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", format!("{prefix}{group}"))
                .set("enable.auto.commit", "false")
                .create()?;
            consumers.insert(group, consumer);
        }
        let prefix = prefix.to_owned();
        Ok(Self { prefix, consumers })
    }

    /// Where a group's committed offset is not the end of its partition: who, and what is left. Blocks.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub fn behind(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for (group, topics) in GROUPS {
            let consumer = self.consumers.get(group).context("a consumer per group")?;
            let mut wanted = TopicPartitionList::new();
            for topic in topics {
                let name = format!("{}{topic}", self.prefix);
                for partition in kafka::partitions(consumer, &name)? {
                    wanted.add_partition(&name, partition);
                }
            }
            let committed =
                kafka::patiently(|| consumer.committed_offsets(wanted.clone(), TIMEOUT))?;
            for at in committed.elements() {
                let (_, end) = kafka::ends(consumer, at.topic(), at.partition())?;
                let next = match at.offset() {
                    Offset::Offset(next) => next,
                    _ => 0,
                };
                if next != end {
                    let problem = format!(
                        "is at {next} of partition {}/{}, which ends at {end}",
                        at.topic(),
                        at.partition()
                    );
                    found.push((format!("group {group}"), problem));
                }
            }
        }
        Ok(found)
    }
}

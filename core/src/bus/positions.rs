//! Where a member's partitions stand: storing, pausing, setting back.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Partition;
use super::group::Member;
use crate::events::TopicNames;

/// How long setting partitions back may take.
const SEEK_BOUND: Duration = Duration::from_secs(5);

/// A member's positions.
pub(super) struct Positions {
    consumer: Arc<Member>,
    names: TopicNames,
}

impl Positions {
    pub(super) fn new(consumer: Arc<Member>, names: TopicNames) -> Self {
        Self { consumer, names }
    }

    /// Stores where partitions go on after a restart; the next commit takes it along. Offsets are stored as they are, unlike by the
    /// client's `store_offset`, which adds one.
    pub(super) fn store(&self, next: impl IntoIterator<Item = (Partition, i64)>) {
        let list = self.at_offsets(next);
        if list.count() == 0 {
            return;
        }
        match self.consumer.store_offsets(&list) {
            // Of partitions that are not ours any more nothing is stored: whoever has them handles the records again.
            Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
            Err(error) => tracing::warn!("failed to store offsets: {error}"),
        }
    }

    /// Stops fetching partitions. Where that fails, their records are polled and dropped, which is the same, only dearer.
    pub(super) fn pause(&self, partitions: &[Partition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.pause(&self.list(partitions)) {
            tracing::warn!("failed to pause partitions: {error}");
        }
    }

    /// Sets partitions back to the offsets given and lets them flow from there. Returns those that do. One that can not be set
    /// back stays paused: letting it flow would pass over records.
    pub(super) async fn read_again(&self, from: &[(Partition, i64)]) -> Vec<Partition> {
        let list = self.at_offsets(from.iter().copied());
        let consumer = Arc::clone(&self.consumer);
        let sought =
            tokio::task::spawn_blocking(move || consumer.seek_partitions(list, SEEK_BOUND)).await;
        let list = match sought {
            Ok(Ok(list)) => list,
            Ok(Err(error)) => {
                tracing::warn!("failed to set partitions back: {error}");
                return Vec::new();
            }
            Err(error) => {
                tracing::error!("failed to set partitions back: {error}");
                return Vec::new();
            }
        };
        let mut flowing = Vec::with_capacity(from.len());
        for one in list.elements() {
            let Some(topic) = self.names.topic(one.topic()) else {
                continue;
            };
            match one.error() {
                Ok(()) => flowing.push((topic, one.partition())),
                Err(error) => {
                    tracing::debug!("not set back yet: {topic}/{}: {error}", one.partition());
                }
            }
        }
        if let Err(error) = self.consumer.resume(&self.list(&flowing)) {
            tracing::warn!("failed to resume partitions: {error}");
        }
        flowing
    }

    fn list(&self, partitions: &[Partition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(&self.names.name(*topic), *partition);
        }
        list
    }

    fn at_offsets(
        &self,
        offsets: impl IntoIterator<Item = (Partition, i64)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in offsets {
            let name = self.names.name(topic);
            // Only a negative offset is refused, and the log has none.
            if let Err(error) = list.add_partition_offset(&name, partition, Offset::Offset(offset))
            {
                tracing::error!("offset {offset} of topic {topic} partition {partition}: {error}");
            }
        }
        list
    }
}

//! The log: topics in partitions, and groups whose members share them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shop_core::events::{Envelope, Event, Source, Topic, WireRecord};
use uuid::Uuid;

/// Partitions of each topic.
pub const PARTITIONS: i32 = 2;

/// A partition of a topic.
pub type Partition = (Topic, i32);

/// All topics and groups.
#[derive(Debug, Default)]
pub struct Kafka {
    events: BTreeMap<Partition, Vec<Arc<Event>>>,
    statuses: BTreeMap<Partition, Vec<Arc<WireRecord>>>,
    groups: BTreeMap<&'static str, Group>,
    newest: BTreeMap<(&'static str, Uuid), u32>,
    seen: BTreeSet<(&'static str, Uuid, u32)>,
}

/// A consumer group.
#[derive(Debug, Default)]
struct Group {
    owners: BTreeMap<Partition, usize>,
    stored: BTreeMap<Partition, i64>,
    /// Where the owner reads next.
    positions: BTreeMap<Partition, i64>,
}

fn partition_of(id: Uuid) -> i32 {
    i32::from(id.as_bytes()[15] & 1)
}

fn place(offset: i64) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

fn end<T>(log: &[T]) -> i64 {
    i64::try_from(log.len()).unwrap_or(i64::MAX)
}

impl Kafka {
    /// Appends an event to its topic. Tells if its version comes before one that should be first.
    pub fn produce(&mut self, event: &Arc<Event>) -> Result<(), String> {
        let aggregate = (event.aggregate_type().as_str(), event.aggregate_id());
        let newest = self.newest.entry(aggregate).or_default();
        let in_order = event.version() <= *newest + 1;
        let expected = *newest + 1;
        *newest = (*newest).max(event.version());
        self.seen
            .insert((aggregate.0, aggregate.1, event.version()));
        let partition = (event.aggregate_type().topic(), partition_of(aggregate.1));
        self.events
            .entry(partition)
            .or_default()
            .push(Arc::clone(event));
        if in_order {
            Ok(())
        } else {
            Err(format!(
                "{} {} version {} came before version {expected}",
                aggregate.0,
                aggregate.1,
                event.version()
            ))
        }
    }

    /// Whether a version of an aggregate is in its topic.
    pub fn has(&self, kind: &'static str, id: Uuid, version: u32) -> bool {
        self.seen.contains(&(kind, id, version))
    }

    /// Appends a status.
    pub fn publish(&mut self, topic: Topic, record: WireRecord) {
        let id = Uuid::try_parse(&record.key).unwrap_or_default();
        self.statuses
            .entry((topic, partition_of(id)))
            .or_default()
            .push(Arc::new(record));
    }

    /// A status record, if there is one.
    pub fn status(&self, partition: Partition, offset: i64) -> Option<Arc<WireRecord>> {
        let log = self.statuses.get(&partition)?;
        log.get(place(offset)).cloned()
    }

    /// The end of a partition of statuses.
    pub fn end_of_statuses(&self, partition: Partition) -> i64 {
        self.statuses.get(&partition).map_or(0, |log| end(log))
    }

    /// Gives each partition of the topics to one of so many members.
    pub fn assign(
        &mut self,
        group: &'static str,
        topics: &[Topic],
        mut member: impl FnMut() -> usize,
    ) {
        let group = self.groups.entry(group).or_default();
        for topic in topics {
            for partition in 0..PARTITIONS {
                let partition = (*topic, partition);
                let owner = member();
                if group.owners.insert(partition, owner) != Some(owner) {
                    let stored = group.stored.get(&partition).copied().unwrap_or_default();
                    group.positions.insert(partition, stored);
                }
            }
        }
    }

    /// A member starts again where its offsets are stored.
    pub fn restart(&mut self, group: &'static str, member: usize) {
        if let Some(group) = self.groups.get_mut(group) {
            for (partition, owner) in &group.owners {
                if *owner == member {
                    let stored = group.stored.get(partition).copied().unwrap_or_default();
                    group.positions.insert(*partition, stored);
                }
            }
        }
    }

    /// The last few stored offsets did not get through, and the members read again from there.
    pub fn redeliver(&mut self, group: &'static str, mut back: impl FnMut() -> i64) {
        if let Some(group) = self.groups.get_mut(group) {
            for (partition, stored) in &mut group.stored {
                *stored = (*stored - back()).max(0);
                group.positions.insert(*partition, *stored);
            }
        }
    }

    /// The partitions that a member has.
    pub fn owned(&self, group: &'static str, member: usize) -> Vec<Partition> {
        let owners = self.groups.get(group).into_iter().flat_map(|g| &g.owners);
        owners
            .filter(|(_, owner)| **owner == member)
            .map(|(partition, _)| *partition)
            .collect()
    }

    /// The next records of partitions, in this order, at most so many.
    pub fn poll(
        &mut self,
        group: &'static str,
        partitions: &[Partition],
        most: usize,
    ) -> Vec<Envelope> {
        let mut batch = Vec::new();
        let Some(group) = self.groups.get_mut(group) else {
            return batch;
        };
        for partition in partitions {
            let position = group.positions.entry(*partition).or_default();
            let log = self.events.get(partition).map_or(&[][..], Vec::as_slice);
            while batch.len() < most
                && let Some(event) = log.get(place(*position))
            {
                batch.push(Envelope {
                    source: Source {
                        topic: partition.0,
                        partition: partition.1,
                        offset: *position,
                    },
                    event: (**event).clone(),
                });
                *position += 1;
            }
        }
        batch
    }

    /// A batch does not count: its records come again.
    pub fn seek_back(&mut self, group: &'static str, member: usize, batch: &[Envelope]) {
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        for Envelope { source, .. } in batch {
            let partition = (source.topic, source.partition);
            if group.owners.get(&partition) == Some(&member) {
                let position = group.positions.entry(partition).or_default();
                *position = (*position).min(source.offset);
            }
        }
    }

    /// Stores the offsets after a batch, for the partitions that the member still has.
    pub fn store(&mut self, group: &'static str, member: usize, batch: &[Envelope]) {
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        for Envelope { source, .. } in batch {
            let partition = (source.topic, source.partition);
            if group.owners.get(&partition) == Some(&member) {
                group.stored.insert(partition, source.offset + 1);
            }
        }
    }

    /// How many records a group has yet to store.
    pub fn lag(&self, group: &'static str) -> i64 {
        let Some(group) = self.groups.get(group) else {
            return 0;
        };
        group
            .owners
            .keys()
            .map(|partition| {
                let end = self.events.get(partition).map_or(0, |log| end(log));
                end - group.stored.get(partition).copied().unwrap_or_default()
            })
            .sum()
    }
}

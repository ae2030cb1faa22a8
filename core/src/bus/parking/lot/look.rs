//! What the table tells: all that is parked of a partition that was taken over, and later what an operator has changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{LOOK, Lot};
use crate::bus::Partition;
use crate::bus::parking::{Lane, Parked, State};
use crate::db::StoreError;
use crate::db::parked::{self, Entry};

impl Lot {
    /// Learns what is parked of the partitions that were taken over. Returns which those are.
    ///
    /// # Errors
    /// If the table does not answer: they stay unknown.
    pub async fn load(&mut self) -> Result<Vec<Partition>, StoreError> {
        let wanted = self.unknown();
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let consumer = self.consumer;
        let partitions = wanted.clone();
        let found = self
            .db
            .transaction("load_parked", async |tx| {
                parked::entries(tx, consumer, &partitions).await
            })
            .await;
        let now = Instant::now();
        let found = self.answered(found, now)?;
        for partition in &wanted {
            self.ledger.forget(*partition);
        }
        let known = found.into_iter().map(|entry| Parked {
            state: state(&entry, now),
            offset: entry.source.offset,
            bytes: entry.bytes,
            lane: Lane {
                partition: (entry.source.topic, entry.source.partition),
                key: entry.key,
            },
        });
        self.ledger.park(known, now);
        self.unknown.clear();
        self.gauge();
        Ok(wanted)
    }

    /// Notices what an operator has changed.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.look_at.is_none_or(|look_at| look_at > now) {
            return Ok(());
        }
        self.look_at = Some(now + LOOK);
        let consumer = self.consumer;
        let partitions: Vec<Partition> =
            self.partitions.difference(&self.unknown).copied().collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let found = self.db.transaction("look_at_parked", async |tx| {
            parked::heads(tx, consumer, &partitions).await
        });
        let found = found.await;
        let found = self.answered(found, now)?;
        let mut stored: BTreeMap<Partition, BTreeMap<i64, State>> = BTreeMap::new();
        for entry in found {
            let partition = (entry.source.topic, entry.source.partition);
            stored
                .entry(partition)
                .or_default()
                .insert(entry.source.offset, state(&entry, now));
        }
        for partition in partitions {
            let stored = stored.remove(&partition).unwrap_or_default();
            let (dropped, is_news) = self.ledger.compare(partition, &stored, now);
            if dropped > 0 {
                let (topic, partition) = partition;
                tracing::info!("{dropped} parked records of {topic}/{partition} were dropped");
            }
            if is_news {
                self.unknown.insert(partition);
            }
        }
        self.gauge();
        Ok(())
    }
}

fn state(entry: &Entry, now: Instant) -> State {
    match entry.state {
        parked::State::Behind => State::Behind,
        parked::State::Dead => State::Dead,
        parked::State::Failing => State::Failing {
            tries: entry.tries,
            due: now + Duration::from_millis(u64::try_from(entry.wait_ms).unwrap_or(0)),
        },
    }
}

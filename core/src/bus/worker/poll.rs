//! How a worker takes records from the log, and notes which partitions come and go.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use rdkafka::consumer::Consumer as _;

use super::Worker;
use crate::bus::Role;
use crate::bus::group::Changes;
use crate::bus::record::{self, Polled};
use crate::domain::limits::BATCH_BYTES;

/// What one turn of the loop has polled.
pub(super) struct Batch {
    pub(super) records: Vec<Polled>,
    pub(super) polled_at: Instant,
}

impl<R: Role> Worker<R> {
    /// Waits for a record, then takes what is there at once. Safe to drop: until the first record is there, nothing is taken.
    pub(super) async fn poll(&mut self) -> anyhow::Result<Batch> {
        let mut batch = Batch {
            records: Vec::new(),
            polled_at: Instant::now(),
        };
        let mut bytes = 0;
        let consumer = Arc::clone(&self.consumer);
        let mut polled = Some(consumer.recv().await);
        batch.polled_at = Instant::now();
        while let Some(message) = polled {
            self.note_rebalance(&mut batch.records);
            match message {
                Ok(message) => {
                    if let Some(record) = record::poll(&self.names, &message)
                        && self.holds.admit(record.source, batch.polled_at)
                    {
                        bytes += record.raw.bytes();
                        batch.records.push(record);
                    }
                }
                Err(error) => self.complain(&error)?,
            }
            if batch.records.len() >= self.size.now() || bytes >= BATCH_BYTES {
                break;
            }
            polled = consumer.recv().now_or_never();
        }
        self.note_rebalance(&mut batch.records);
        Ok(batch)
    }

    /// Drops what belongs to partitions that went away: whoever has them now reads it again. Of those that came it is to be learned
    /// what is parked.
    pub(super) fn note_rebalance(&mut self, records: &mut Vec<Polled>) {
        let Changes { lost, gained } = self.consumer.context().take_changes();
        for partition in lost {
            self.holds.forget(partition);
            self.lot.forget(partition);
            records.retain(|one| (one.source.topic, one.source.partition) != partition);
        }
        for partition in gained {
            self.lot.take_over(partition);
        }
    }
}

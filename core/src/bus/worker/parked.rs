//! What a worker does about records that failed: parks them, tries them again, gives them up.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Worker, count_done};
use crate::bus::dead_letter::Sent;
use crate::bus::holds::Trouble;
use crate::bus::parking::{Failed, Ledger};
use crate::bus::record::Polled;
use crate::bus::settle::{Settled, sort};
use crate::bus::{Cause, Role, group};
use crate::db::StoreError;
use crate::db::parked::Stored;
use crate::events::Source;
use crate::runtime::metrics::DEAD_LETTERS;

impl<R: Role> Worker<R> {
    /// When there is something to do about parked records: never while the role's store is away.
    pub(super) fn next_parked(&self) -> Option<Instant> {
        let due = self.lot.next_due()?;
        Some(self.holds.store_until().map_or(due, |until| until.max(due)))
    }

    /// Learns which keys are closed in the partitions that were taken over. While that is not known, nothing of them may be handled,
    /// unless no key is ever closed.
    pub(super) async fn learn_what_is_parked(&mut self) {
        if self.lot.unknown().is_empty() {
            return;
        }
        if !self.lot.rests(Instant::now()) {
            match self.lot.load().await {
                Ok(known) => {
                    for partition in known {
                        self.holds.overcome(partition, Trouble::Loading);
                    }
                    return;
                }
                Err(error) => self.complain_of_parking("learn what is parked", error),
            }
        }
        if let Some(until) = self.lot.rests_until()
            && !self.lot.ledger().reopens()
        {
            for partition in self.lot.unknown() {
                self.holds.stop_until(partition, Trouble::Loading, until);
            }
        }
    }

    /// Parks what failed. Where that fails, the partition stops before it, and so do its offsets.
    pub(super) async fn park(&mut self, settled: &mut Settled) {
        if settled.park.is_empty() {
            return;
        }
        match self.lot.park(&settled.park).await {
            Ok(()) => {
                for record in &settled.park {
                    let Source {
                        topic,
                        partition,
                        offset,
                    } = record.source;
                    self.holds.overcome((topic, partition), Trouble::Parking);
                    let Some(cause) = &record.cause else { continue };
                    group::count_failed(topic, 1);
                    tracing::warn!(
                        topic = topic.as_str(),
                        partition,
                        offset,
                        "parked a record that failed, topic {topic} partition {partition} offset {offset}: {cause}"
                    );
                }
            }
            Err(error) => {
                let now = Instant::now();
                for (partition, first) in settled.give_way() {
                    self.holds
                        .stop(partition, Trouble::Parking, Some(first), now);
                }
                self.complain_of_parking("park records that failed", error);
            }
        }
    }

    /// Notes which parked records are obsolete, since later states were handled.
    pub(super) async fn supersede(&mut self, settled: &Settled) {
        if let Err(error) = self.lot.supersede(&settled.reopened).await {
            self.complain_of_parking("put obsolete records aside", error);
        }
    }

    /// Does what is due: tries records again, and sends those that are given up to the dead letters.
    pub(super) async fn work_on_parked(&mut self) {
        self.learn_what_is_parked().await;
        if self.lot.rests(Instant::now()) {
            return;
        }
        let turn = match self.lot.collect().await {
            Ok(turn) => turn,
            Err(error) => {
                self.complain_of_parking("read what is parked", error);
                return;
            }
        };
        self.letters.send(turn.letters);
        if !turn.tries.is_empty() {
            self.try_again(turn.tries).await;
        }
    }

    async fn try_again(&mut self, records: Vec<Stored>) {
        let begun = Instant::now();
        let records = records.into_iter().map(|stored| Polled {
            source: stored.source,
            event: stored.raw.decode(stored.source.topic),
            raw: stored.raw,
        });
        let sorted = sort(records.collect(), &self.open_ledger());
        if begun.elapsed() > self.stale {
            return; // they are due all the same
        }
        let outcomes = match self.handle(&sorted.envelopes, &sorted.lanes()).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.store_is_away(&error, sorted.envelopes.len(), []);
                return;
            }
        };
        let settled = sorted.settle(outcomes);
        let handled: Vec<Source> = settled.done.iter().map(|(source, _)| *source).collect();
        let failed: Vec<(Source, Cause)> = settled
            .park
            .iter()
            .filter_map(|record| Some((record.source, record.cause.clone()?)))
            .collect();
        let fates = match self.lot.settle(&handled, &failed).await {
            Ok(fates) => fates,
            Err(error) => {
                self.complain_of_parking("note what became of parked records", error);
                return;
            }
        };
        for (source, how) in &settled.done {
            count_done(*source, *how);
        }
        for ((source, fate), (_, cause)) in fates.into_iter().zip(&failed) {
            say_that_it_failed(source, fate, cause);
        }
        self.supersede(&settled).await;
    }

    /// A ledger in which no key is closed: what is due is not kept back by itself.
    fn open_ledger(&self) -> Ledger {
        self.lot.ledger().emptied()
    }

    /// Takes in what became of letters. Where one was not taken, its partition stops.
    pub(super) async fn note_sent(&mut self, sent: Sent) {
        let now = Instant::now();
        let role = self.role.name();
        let mut dead = Vec::new();
        let mut stopped = BTreeSet::new();
        for (source, result) in sent {
            let Source {
                topic,
                partition,
                offset,
            } = source;
            match result {
                Ok(()) => {
                    metrics::counter!(DEAD_LETTERS, "consumer" => role, "topic" => topic.as_str())
                        .increment(1);
                    tracing::error!(
                        topic = topic.as_str(),
                        partition,
                        offset,
                        "gave up a record, topic {topic} partition {partition} offset {offset}: it is in {topic}.dlq, \
                         and its key waits for ops dlq redrive or drop"
                    );
                    dead.push(source);
                }
                Err(error) => {
                    self.letters.start_anew();
                    let at = (topic, partition);
                    // One step of the back-off, however many letters there are.
                    let wait = if stopped.insert(at) {
                        let wait = self.holds.stop(at, Trouble::DeadLetters, None, now);
                        tracing::error!(
                            topic = topic.as_str(),
                            partition,
                            "stopped topic {topic} partition {partition}, since {topic}.dlq does not take a record; \
                             trying again in {wait:.1?}: {error:#}"
                        );
                        wait
                    } else {
                        self.holds
                            .stopped_for(at, Trouble::DeadLetters, now)
                            .unwrap_or_default()
                    };
                    self.lot.not_sent(source, wait);
                }
            }
        }
        for source in &dead {
            let partition = (source.topic, source.partition);
            if !stopped.contains(&partition) {
                self.holds.overcome(partition, Trouble::DeadLetters);
            }
        }
        if let Err(error) = self.lot.sent(&dead).await {
            self.complain_of_parking("note that records are dead letters", error);
        }
    }

    fn complain_of_parking(&self, what: &str, error: StoreError) {
        let (role, passes) = (self.role.name(), error.is_retryable());
        let error = anyhow::Error::from(error);
        if passes {
            tracing::warn!(role, "failed to {what}, trying again: {error:#}");
        } else {
            tracing::error!(role, "failed to {what}, trying again: {error:#}");
        }
    }
}

fn say_that_it_failed(source: Source, fate: Failed, cause: &Cause) {
    let Source {
        topic,
        partition,
        offset,
    } = source;
    group::count_failed(topic, 1);
    let next = fate.wait.map_or_else(
        || "it is given up".to_owned(),
        |wait| format!("trying again in {wait:.1?}"),
    );
    tracing::warn!(
        topic = topic.as_str(),
        partition,
        offset,
        "a parked record failed again, topic {topic} partition {partition} offset {offset}, {next}: {cause}"
    );
}

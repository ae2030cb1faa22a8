//! The ledger with its table: what is parked is stored first, and known then.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Ledger, Parked, Retry, State};
use crate::bus::settle::ToPark;
use crate::bus::{Cause, Partition};

use crate::db::parked::{self, Failure, New, Stored, Why};

use crate::db::{Db, StoreError};
use crate::domain::limits::BATCH_BYTES;
use crate::events::Source;
use crate::runtime::Backoff;
use crate::runtime::metrics::PARKED_RECORDS;

/// How often the table is looked into for what an operator has changed, while something is parked.
const LOOK: Duration = Duration::from_secs(1);

/// What is parked of one member's partitions.
pub(in crate::bus) struct Lot {
    db: Db,
    consumer: &'static str,
    ledger: Ledger,
    batch: usize,
    /// The partitions of this member.
    partitions: BTreeSet<Partition>,
    /// Those of them whose parked records are not known yet.
    unknown: BTreeSet<Partition>,
    /// When the table is looked into next.
    look_at: Option<Instant>,
    /// Until when the table is left alone, since it did not answer.
    rest_until: Option<Instant>,
    backoff: Backoff,
    /// How much of the gauge is this member's.
    gauged: usize,
}

/// What is to be done about parked records now.
#[derive(Default)]
pub(in crate::bus) struct Turn {
    /// To be handled again.
    pub tries: Vec<Stored>,
    /// To be sent to the dead letters.
    pub letters: Vec<Stored>,
}

impl Lot {
    /// An empty one. In: where the table is; whose records; whether later states suffice; how often to try; records at once, at most.
    pub fn new(db: Db, consumer: &'static str, reopens: bool, retry: Retry, batch: usize) -> Self {
        Self {
            db,
            consumer,
            ledger: Ledger::new(reopens, retry),
            batch,
            partitions: BTreeSet::new(),
            unknown: BTreeSet::new(),
            look_at: None,
            rest_until: None,
            backoff: Backoff::new(),
            gauged: 0,
        }
    }

    /// What is known.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A partition is this member's from now on.
    pub fn take_over(&mut self, partition: Partition) {
        self.partitions.insert(partition);
        self.unknown.insert(partition);
    }

    /// A partition went away.
    pub fn forget(&mut self, partition: Partition) {
        self.partitions.remove(&partition);
        self.unknown.remove(&partition);
        self.ledger.forget(partition);
        self.gauge();
    }

    /// The partitions whose parked records are not known yet.
    pub fn unknown(&self) -> Vec<Partition> {
        self.unknown.iter().copied().collect()
    }

    /// When there is something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let load = (!self.unknown.is_empty()).then(Instant::now);
        let due = [self.ledger.next_due(), self.look_at, load];
        let due = due.into_iter().flatten().min()?;
        Some(self.rest_until.map_or(due, |until| until.max(due)))
    }

    /// Whether the table is left alone for now.
    pub fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| until > now)
    }

    /// Until when that is.
    pub fn rests_until(&self) -> Option<Instant> {
        self.rest_until
    }

    /// Parks records, durably.
    ///
    /// # Errors
    /// If the table does not take them; then none is parked.
    pub async fn park(&mut self, records: &[ToPark]) -> Result<(), StoreError> {
        let now = Instant::now();
        let states: Vec<State> = records
            .iter()
            .map(|record| match record.cause {
                Some(_) => self.ledger.failing(now, fastrand::f64()),
                None => State::Behind,
            })
            .collect();
        let rows: Vec<New<'_>> = records
            .iter()
            .zip(&states)
            .map(|(record, state)| New {
                source: record.source,
                raw: &record.raw,
                failed: record
                    .cause
                    .as_ref()
                    .map(|cause| (why(cause), wait_ms(*state, now))),
            })
            .collect();
        let consumer = self.consumer;
        let parked = self
            .db
            .transaction("park", async |tx| parked::insert(tx, consumer, &rows).await);
        let parked = parked.await;
        self.answered(parked, now)?;
        let known = records.iter().zip(states).map(|(record, state)| Parked {
            lane: record.lane.clone(),
            offset: record.source.offset,
            bytes: record.raw.bytes(),
            state,
        });
        self.ledger.park(known, now);
        self.gauge();
        Ok(())
    }

    /// What is due, with what is in it.
    ///
    /// # Errors
    /// If the table does not answer: it is due again later.
    pub async fn collect(&mut self) -> Result<Turn, StoreError> {
        self.look().await?;
        let now = Instant::now();
        let due = self.ledger.due(now, self.batch, BATCH_BYTES);
        let wanted: Vec<Source> = due.tries.iter().chain(&due.letters).copied().collect();
        if wanted.is_empty() {
            return Ok(Turn::default());
        }
        let consumer = self.consumer;
        let found = self.db.transaction("read_parked", async |tx| {
            parked::read(tx, consumer, &wanted).await
        });
        let found = found.await;
        let found = match self.answered(found, now) {
            Ok(found) => found,
            Err(error) => {
                for letter in due.letters {
                    self.ledger.not_sent(letter, now, Duration::ZERO);
                }
                return Err(error);
            }
        };
        let mut found: BTreeMap<Source, Stored> = found
            .into_iter()
            .map(|stored| (stored.source, stored))
            .collect();
        // Whoever dropped them in the meantime meant it.
        let gone = wanted.iter().filter(|source| !found.contains_key(source));
        self.ledger.remove(gone.copied(), now);
        let mut take = |sources: Vec<Source>| -> Vec<Stored> {
            sources
                .iter()
                .filter_map(|source| found.remove(source))
                .collect()
        };
        let turn = Turn {
            tries: take(due.tries),
            letters: take(due.letters),
        };
        self.gauge();
        Ok(turn)
    }

    /// Takes in what became of records that were tried again. Returns those that failed: how often, and how long they wait; `None` if they
    /// are given up.
    ///
    /// # Errors
    /// If the table does not answer. Those that were handled are then tried again, which has no effect; those that failed wait all the
    /// same.
    pub async fn settle(
        &mut self,
        handled: &[Source],
        failed: &[(Source, Cause)],
    ) -> Result<Vec<(Source, super::Failed)>, StoreError> {
        let now = Instant::now();
        let mut fates = Vec::with_capacity(failed.len());
        let mut failures = Vec::with_capacity(failed.len());
        for (source, cause) in failed {
            let Some(fate) = self.ledger.failed(*source, now, fastrand::f64()) else {
                continue;
            };
            fates.push((*source, fate));
            failures.push(Failure {
                source: *source,
                tries: fate.tries,
                wait_ms: fate.wait.map_or(0, millis),
                why: why(cause),
            });
        }
        let consumer = self.consumer;
        let noted = self.db.transaction("settle_parked", async |tx| {
            parked::note_failures(tx, consumer, &failures).await?;
            parked::delete(tx, consumer, handled).await
        });
        let noted = noted.await;
        self.answered(noted, now)?;
        self.ledger.remove(handled.iter().copied(), now);
        self.gauge();
        Ok(fates)
    }

    /// Later states were handled: what is parked before them is obsolete.
    ///
    /// # Errors
    /// If the table does not answer. The next state tries again.
    pub async fn supersede(&mut self, handled: &[(super::Lane, i64)]) -> Result<(), StoreError> {
        if self.ledger.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let lanes = handled.iter();
        let dead: Vec<Source> = lanes
            .flat_map(|(lane, offset)| self.ledger.supersede(lane, *offset, now))
            .collect();
        self.delete(&dead, now).await
    }

    /// Records are dead letters now.
    ///
    /// # Errors
    /// If the table does not answer. They are sent once more then.
    pub async fn sent(&mut self, letters: &[Source]) -> Result<(), StoreError> {
        let now = Instant::now();
        let (obsolete, dead): (Vec<Source>, Vec<Source>) = letters
            .iter()
            .partition(|source| self.ledger.sent(**source, now));
        if !dead.is_empty() {
            let consumer = self.consumer;
            let buried = self.db.transaction("bury_parked", async |tx| {
                parked::bury(tx, consumer, &dead).await
            });
            let buried = buried.await;
            self.answered(buried, now)?;
        }
        self.delete(&obsolete, now).await
    }

    /// A record could not be sent to the dead letters.
    pub fn not_sent(&mut self, letter: Source, wait: Duration) {
        self.ledger.not_sent(letter, Instant::now(), wait);
    }

    async fn delete(&mut self, sources: &[Source], now: Instant) -> Result<(), StoreError> {
        if sources.is_empty() {
            return Ok(());
        }
        let consumer = self.consumer;
        let deleted = self.db.transaction("delete_parked", async |tx| {
            parked::delete(tx, consumer, sources).await
        });
        let deleted = deleted.await;
        self.answered(deleted, now)?;
        self.ledger.remove(sources.iter().copied(), now);
        self.gauge();
        Ok(())
    }

    /// After an answer the table is asked again as needed; without one it is left alone for a while.
    fn answered<T>(
        &mut self,
        answer: Result<T, StoreError>,
        now: Instant,
    ) -> Result<T, StoreError> {
        if answer.is_ok() {
            self.backoff.reset();
            self.rest_until = None;
        } else {
            self.rest_until = Some(now + self.backoff.next());
        }
        answer
    }

    /// Says how much is parked, and begins or ends looking.
    fn gauge(&mut self) {
        let parked = self.ledger.len();
        if parked == 0 {
            self.look_at = None;
        } else if self.look_at.is_none() {
            self.look_at = Some(Instant::now() + LOOK);
        }
        let gauge = metrics::gauge!(PARKED_RECORDS, "consumer" => self.consumer);
        if parked >= self.gauged {
            gauge.increment(count(parked - self.gauged));
        } else {
            gauge.decrement(count(self.gauged - parked));
        }
        self.gauged = parked;
    }
}

fn why(cause: &Cause) -> Why {
    Why {
        cause: cause.outermost().to_owned(),
        causes: cause.lines(),
    }
}

fn wait_ms(state: State, now: Instant) -> i64 {
    match state {
        State::Failing { due, .. } => millis(due.saturating_duration_since(now)),
        _ => 0,
    }
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of parked records is small"
)]
fn count(records: usize) -> f64 {
    records as f64
}

//! The loop that every consumer runs: poll a batch, handle it as one, then store its offsets.
//!
//! Alone knows offsets, back-off, parking, dead letters and shutdown. What it promises to a [`Role`]:
//! - At least once: an offset is stored only after the record before it was handled or parked, and no offset passes a record that was neither.
//! - In order: records of a key come in the order of the log, one batch at a time.
//! - The store is away ([`HandleError`](super::HandleError)): nothing of the batch counts, and after 1, 2, 4, 8, 16 s, then every 30 s, the same records come again.
//!   Meanwhile the consumer stays in its group. Nothing is parked.
//! - A batch fails because of a record in it: its records are handled again one by one.
//! - A record fails ([`Outcome::Retry`](super::Outcome), or it is no event): it and what follows of its key are [parked](super::parking), and tried again
//!   after 1, 2, 4, 8, 16 s (`RETRY_FIRST_WAIT`, `RETRY_MAX_ELAPSED`). Other keys flow. After five tries it is a dead letter and keeps its
//!   key closed until an operator decides.
//! - What fails can not be parked, or can not be sent to the dead letters: its partition waits in the steps of a store that is away; other
//!   partitions flow.
//! - A crash between effect and commit, or a rebalance, brings records again: the role's effects must bear it.
//! - A member that lost its name in the group joins again; one that loses it twice within a minute has a twin and ends.
//! - A batch that is older than half the session time-out when its turn comes is dropped unhandled and read again: this process was paused,
//!   and another one may have the partition.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::JoinSet;

use super::worker::{Fenced, Worker};
use super::{Ping, Role, group};
use crate::db::Db;
use crate::runtime::settings::Settings;
use crate::runtime::{Health, Shutdown};

/// Two fencings within this time are the work of a twin, unless the broker was away meanwhile.
const TWIN: Duration = Duration::from_mins(1);
/// Before a member that was fenced joins again.
const JOIN_AGAIN: Duration = Duration::from_millis(500);

/// Runs a role until shutdown is requested: as many workers as the settings say, each a member of the role's group.
///
/// In: the role; where what fails of it is parked; the settings.
///
/// Connects in the background, so it starts while Kafka is away. Ends with `Ok` after every worker has finished its batch,
/// stored its offsets and closed.
///
/// # Errors
/// If the settings are not accepted, if another process uses the same `CONSUMER_SLOT`, or if the role panicked. What comes and
/// goes by itself is no error here.
pub async fn consume<R: Role>(
    role: Arc<R>,
    db: &Db,
    settings: &Settings,
    shutdown: Shutdown,
    health: Option<&Health>,
) -> anyhow::Result<()> {
    group::begin_counting(role.name(), role.topics());
    let stop = shutdown.child();
    let mut workers = JoinSet::new();
    for number in 0..settings.consumer.workers.max(1) {
        let (role, db, settings) = (Arc::clone(&role), db.clone(), settings.clone());
        let make = move || Worker::new(Arc::clone(&role), db.clone(), &settings, number);
        let worker = make()?;
        let ping = Arc::new(Mutex::new(worker.pinger()));
        if let Some(health) = health.filter(|_| workers.is_empty()) {
            let ping = Arc::clone(&ping);
            health.register("kafka", move || {
                let ping = lock(&ping).clone();
                async move { ping.probe().await }
            });
        }
        workers.spawn(member(worker, make, ping, stop.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|panic| {
            Err(anyhow!(panic).context(format!("a worker of {} ended early", role.name())))
        });
        // One that can not go on takes the others with it, and the program with them.
        stop.request();
        result = result.and(ended);
    }
    result
}

/// One member of the group, and its successors under the same name.
///
/// A member that is fenced joins anew, unless it seems to have a [twin](Fencings::tell_of_a_twin).
async fn member<R: Role>(
    first: Worker<R>,
    make: impl Fn() -> anyhow::Result<Worker<R>>,
    ping: Arc<Mutex<Ping>>,
    stop: Shutdown,
) -> anyhow::Result<()> {
    let mut worker = first;
    let mut fencings = Fencings::default();
    loop {
        let Err(error) = worker.run(stop.clone()).await else {
            return Ok(());
        };
        let Some(fenced) = error.downcast_ref::<Fenced>() else {
            return Err(error);
        };
        if fencings.tell_of_a_twin(Instant::now(), fenced.away) || stop.is_requested() {
            return Err(error);
        }
        tracing::warn!("was fenced, joins its group again: {error:#}");
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = tokio::time::sleep(JOIN_AGAIN) => {}
        }
        worker = make()?;
        *lock(&ping) = worker.pinger();
    }
}

/// How often a member was fenced without a reason that it knows.
///
/// A broker that dies while it answers a join gave the name to a member that never hears of it, and fences the one that asks
/// again; one that is killed again and again does so each time. A twin fences while the broker is well.
#[derive(Debug, Default)]
struct Fencings {
    last: Option<Instant>,
    away: Option<Instant>,
}

impl Fencings {
    /// Notes a fencing, and when the broker was seen to be away last; whether only another process of the same name explains it.
    fn tell_of_a_twin(&mut self, now: Instant, away: Option<Instant>) -> bool {
        let recent = |at: Instant| now.duration_since(at) < TWIN;
        self.away = away.or(self.away);
        if self.away.is_some_and(recent) {
            return false;
        }
        self.last.replace(now).is_some_and(recent)
    }
}

fn lock(ping: &Mutex<Ping>) -> MutexGuard<'_, Ping> {
    ping.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_member_that_is_fenced_twice_while_the_broker_is_well_has_a_twin() {
        let now = Instant::now();
        let mut fencings = Fencings::default();
        assert!(!fencings.tell_of_a_twin(now, None), "once may be nobody");
        assert!(fencings.tell_of_a_twin(now + SECOND, None));
        let much_later = now + 2 * TWIN;
        assert!(!fencings.tell_of_a_twin(much_later, None), "long ago");
    }

    #[test]
    fn a_broker_that_was_away_explains_every_fencing_for_a_while() {
        let now = Instant::now();
        let mut fencings = Fencings::default();
        for second in 1..10 {
            let seen = now + second * SECOND;
            assert!(!fencings.tell_of_a_twin(seen, Some(seen)));
            assert!(!fencings.tell_of_a_twin(seen, None), "its successor");
        }
        let later = now + 2 * TWIN;
        assert!(!fencings.tell_of_a_twin(later, Some(now)));
        assert!(fencings.tell_of_a_twin(later + SECOND, None), "a twin too");
    }
}

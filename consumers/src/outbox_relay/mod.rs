//! Sends what commands wrote to the outbox to Kafka.
//!
//! Reads: unsent rows of `outbox`, oldest first. Writes: topics `users`, `products`, `orders`, `stock` and `stock-levels`, keyed
//! by aggregate id, and `outbox.processed_at`. Deletes old rows of `outbox` and `processed_events`.
//!
//! - One relay is active; the others stand by. The leader is who holds MySQL's named lock, on the connection that it reads
//!   and marks rows with. A leader that dies loses it at once; one that is paused or cut off loses it after `RELAY_LEASE`, and
//!   can mark nothing when it wakes up, for its connection is gone.
//! - At least once, in order: rows are marked when Kafka has acknowledged the whole batch. A crash in between, or a former leader
//!   that wakes up, sends a batch again, whole and in order: whatever comes before a record in it is in the topic already. So the first
//!   occurrences of an aggregate's versions are 1, 2, 3 …, and consumers absorb the repeats by version.
//! - Kafka away: rows stay, mutations keep working. The leader waits, keeps its lock alive, and goes on when Kafka answers.
//! - Reads where an unsent row can still be ([`position`]): in every number that was never seen, never "greater than the last
//!   one". What it reads does not grow with what was sent, purged or not.
//! - The leader also deletes what is old (`retention`): sent events, and the memory of handled ones.
//! - MySQL away, or the lock lost: what is still in the producer's queue is thrown away, and the relay stands for election
//!   again, with a new connection and a new producer.

mod figures;
mod leader;
mod outlook;
pub mod position;
mod retention;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use shop_core::bus::Producer;
use shop_core::db::Db;
use shop_core::db::lock::NamedLock;
use shop_core::runtime::guard::{self, Guard};
use shop_core::runtime::metrics::{OUTBOX_LEADER, OUTBOX_SENT};
use shop_core::runtime::settings::{KafkaSettings, Settings};
use shop_core::runtime::{Backoff, Health, Runtime, Shutdown};
use tokio::sync::watch;

pub use leader::{Sent, relay_once, relay_step};
pub use outlook::Outlook;
pub use retention::prune_once;

/// The lock's purpose: its name on the server is `<database>.outbox-relay`.
pub const LOCK: &str = "outbox-relay";
/// How often a relay that stands by asks for the lock.
const STANDBY_INTERVAL: Duration = Duration::from_millis(250);
/// The first wait after a failure; it grows to thirty times as much.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The program `outbox-relay`.
///
/// # Errors
/// If the settings are not accepted by the clients.
pub async fn run(runtime: Runtime) -> anyhow::Result<()> {
    relay(&runtime.settings, runtime.shutdown, Some(&runtime.health)).await
}

/// Relays until shutdown is requested: leads while it has the lock, stands by otherwise.
///
/// # Errors
/// See [`run`].
pub async fn relay(
    settings: &Settings,
    shutdown: Shutdown,
    health: Option<&Health>,
) -> anyhow::Result<()> {
    let db =
        Db::new(&settings.mysql, settings.kafka.encoding).context("failed to make the pool")?;
    let producer = CurrentProducer::new(&settings.kafka)?;
    if let Some(health) = health {
        register_probes(health, &db, &producer);
    }
    metrics::gauge!(OUTBOX_LEADER).set(0.0);
    metrics::counter!(OUTBOX_SENT).increment(0);
    retention::begin_counting(&settings.retention);
    let mut backoff = Backoff::with_base(FIRST_WAIT);
    while !shutdown.is_requested() {
        let Err(error) = term(settings, &db, &producer, &shutdown, &mut backoff).await else {
            break;
        };
        let wait = backoff.next();
        let what = format!("relaying was interrupted, standing again in {wait:.1?}");
        crate::complain(&what, &error);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => {}
        }
    }
    Ok(())
}

/// One term: waits for the lock, then leads. Ends with `Ok` when shutdown was requested.
async fn term(
    settings: &Settings,
    db: &Db,
    producer: &CurrentProducer,
    shutdown: &Shutdown,
    backoff: &mut Backoff,
) -> anyhow::Result<()> {
    let Some(lock) = elected(settings, shutdown).await? else {
        return Ok(());
    };
    tracing::info!("holds lock {}: sends from now on", lock.name());
    metrics::gauge!(OUTBOX_LEADER).set(1.0);
    let current = producer.get();
    let (where_unsent, known) = watch::channel(Vec::new());
    let led = tokio::select! {
        led = leader::lead(lock, &current, &settings.outbox, shutdown, backoff, &where_unsent) => led,
        never = figures::publish(db, known) => match never {},
        never = retention::keep_pruning(db, &settings.retention) => match never {},
    };
    metrics::gauge!(OUTBOX_LEADER).set(0.0);
    figures::forget();
    if led.is_err() {
        // Somebody else may lead already: nothing more leaves this process, and what did not is forgotten.
        current.purge();
        producer.replace()?;
    }
    led
}

/// Waits until the lock is ours; `None` when shutdown was requested.
async fn elected(settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<Option<NamedLock>> {
    let stand = async {
        let mut lock = NamedLock::connect(&settings.mysql, LOCK, settings.outbox.lease)
            .await
            .context("failed to connect for the lock")?;
        while guard::is_on(Guard::RelayElection)
            && !lock
                .try_lock()
                .await
                .context("failed to ask for the lock")?
        {
            tokio::time::sleep(STANDBY_INTERVAL).await;
        }
        anyhow::Ok(lock)
    };
    tokio::select! {
        lock = stand => lock.map(Some),
        () = shutdown.requested() => Ok(None),
    }
}

/// The producer in use. It is made at start, so that a relay that stands by is connected, and anew after each term.
#[derive(Clone)]
struct CurrentProducer {
    settings: Arc<KafkaSettings>,
    producer: Arc<Mutex<Producer>>,
}

impl CurrentProducer {
    fn new(settings: &KafkaSettings) -> anyhow::Result<Self> {
        let producer = Arc::new(Mutex::new(Self::fresh(settings)?));
        Ok(Self {
            settings: Arc::new(settings.clone()),
            producer,
        })
    }

    fn get(&self) -> Producer {
        self.producer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self) -> anyhow::Result<()> {
        let fresh = Self::fresh(&self.settings)?;
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn fresh(settings: &KafkaSettings) -> anyhow::Result<Producer> {
        Producer::new(settings, LOCK).context("failed to make the producer")
    }
}

fn register_probes(health: &Health, db: &Db, producer: &CurrentProducer) {
    db.probe_for(health);
    let producer = producer.clone();
    health.register("kafka", move || {
        let ping = producer.get().pinger();
        async move { ping.probe().await }
    });
}

//! The pool of a program, and transactions on it.
//!
//! A query whose future is dropped (a time-out, a client that hangs up) leaves its answer on the wire; whoever gets that
//! connection next would read it as theirs. So a connection counts as unclean from the moment it is taken until a
//! transaction on it has ended in an orderly way, and an unclean one is closed, never returned (ADR 0006). As a net, a
//! connection that comes back must repeat a fresh number before it is handed out again.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use diesel::IntoSql;
use diesel::sql_types::BigInt;
use diesel_async::pooled_connection::deadpool::{BuildError, Object, Pool, PoolError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};
use futures::FutureExt;

use super::{Conn, StoreError, connect};
use crate::events::Encoding;
use crate::runtime::Health;
use crate::runtime::failpoint::{self, Step};
use crate::runtime::metrics::{
    MYSQL_POOL_CONNECTIONS, MYSQL_TRANSACTION_DURATION, MYSQL_TRANSACTION_RETRIES,
};
use crate::runtime::settings::MysqlSettings;

/// How often a transaction is tried when others stand in its way.
const TRIES: u32 = 5;

/// The write side of a program: a pool of connections, cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Conn>,
    timeout: Duration,
    encoding: Encoding,
}

/// What a transaction's work may fail with.
pub trait TransactionError: From<StoreError> + Send {
    /// Whether the whole transaction is worth another try at once.
    fn is_conflict(&self) -> bool;
}

impl TransactionError for StoreError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// The work of a transaction: an async closure that can be cloned, so that it can run again, and whose future can move
/// between threads. `AsyncFnOnce` alone can not say the latter. Implemented for every closure that fits.
pub trait Work<C, R>: AsyncFnOnce(C) -> R + FnOnce(C) -> Self::Running + Clone + Send {
    /// The closure's future.
    type Running: Future<Output = R> + Send;
}

impl<C, R, F, Running> Work<C, R> for F
where
    F: AsyncFnOnce(C) -> R + FnOnce(C) -> Running + Clone + Send,
    Running: Future<Output = R> + Send,
{
    type Running = Running;
}

impl Db {
    /// Makes the pool. Connects nowhere yet, so a program starts while MySQL is away.
    ///
    /// In: how to reach MySQL; how the payloads of events are written.
    ///
    /// # Errors
    /// If the pool can not be built, which no setting that passed its checks brings about.
    pub fn new(settings: &MysqlSettings, encoding: Encoding) -> Result<Self, BuildError> {
        let timeout = settings.timeout;
        let mut config = ManagerConfig::default();
        let wanted = settings.clone();
        config.custom_setup = Box::new(move |_dsn| {
            let settings = wanted.clone();
            async move {
                connect(&settings)
                    .await
                    .map_err(|error| diesel::ConnectionError::BadConnection(cause_of(&error)))
            }
            .boxed()
        });
        config.recycling_method =
            RecyclingMethod::CustomFunction(Box::new(|conn| answers_this_question(conn).boxed()));
        let manager = AsyncDieselConnectionManager::new_with_config(&settings.dsn, config);
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            .build()?;
        metrics::gauge!(MYSQL_POOL_CONNECTIONS, "state" => "max").set(count(settings.pool_size));
        Ok(Self {
            pool,
            timeout,
            encoding,
        })
    }

    /// How the payloads of events are written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Asks MySQL for an answer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.transaction("ping", async |conn| {
            diesel::sql_query("DO 1").execute(conn).await?;
            Ok::<_, StoreError>(())
        })
        .await
    }

    /// Lets `/readyz` ask MySQL.
    pub fn probe_for(&self, health: &Health) {
        let db = self.clone();
        health.register("mysql", move || {
            let db = db.clone();
            async move {
                db.ping()
                    .await
                    .map_err(|error| format!("{:#}", anyhow!(error)))
            }
        });
    }

    /// Runs `work` in one transaction: commits if it succeeds, rolls back if it fails, and starts over, a few times, if
    /// another transaction stood in its way. Each try is bounded by `MYSQL_TIMEOUT`, and waiting for a connection before it by half of
    /// that: what waited long for its turn has time to end, for else a full pool would only do work that is thrown away.
    ///
    /// In: a name for the metrics; the work, which must do the same when it is run again.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError`] of the pool, of BEGIN and of COMMIT: [`StoreError::InDoubt`] if a COMMIT was sent and
    /// not answered.
    pub async fn transaction<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        T: Send,
        E: TransactionError,
        F: for<'c> Work<&'c mut Conn, Result<T, E>>,
    {
        let started = Instant::now();
        let mut tried = 1;
        let result = loop {
            match self.try_once(name, work.clone()).await {
                Err(error) if error.is_conflict() && tried < TRIES => {
                    metrics::counter!(MYSQL_TRANSACTION_RETRIES, "name" => name).increment(1);
                    tokio::time::sleep(pause_before_retry(tried)).await;
                    tried += 1;
                }
                result => break result,
            }
        };
        self.report_connections();
        metrics::histogram!(MYSQL_TRANSACTION_DURATION, "name" => name).record(started.elapsed());
        result
    }

    async fn try_once<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        T: Send,
        E: TransactionError,
        F: for<'c> Work<&'c mut Conn, Result<T, E>>,
    {
        let guarded = self.connection().await?;
        let committing = AtomicBool::new(false);
        let attempt = attempt(guarded, name, work, &committing);
        let attempt = tokio::time::timeout(self.timeout, attempt).await;
        attempt.unwrap_or_else(|_| {
            let error = anyhow!("transaction {name} did not end within {:?}", self.timeout);
            Err(without_answer(error, &committing).into())
        })
    }

    async fn connection(&self) -> Result<Guarded, StoreError> {
        let patience = self.timeout / 2;
        let object = tokio::time::timeout(patience, self.pool.get()).await;
        let object = object.map_err(|_| {
            let error = anyhow!("no connection was free within {patience:?}");
            StoreError::Unavailable(error)
        })?;
        let object = object.map_err(|error| pool_error(&error))?;
        self.report_connections();
        Ok(Guarded {
            object: Some(object),
        })
    }

    fn report_connections(&self) {
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        metrics::gauge!(MYSQL_POOL_CONNECTIONS, "state" => "in_use").set(count(in_use));
        metrics::gauge!(MYSQL_POOL_CONNECTIONS, "state" => "idle").set(count(status.available));
    }
}

/// One try, on a connection that is closed unless the try ends in an orderly way.
async fn attempt<T, E, F>(
    mut guarded: Guarded,
    name: &'static str,
    work: F,
    committing: &AtomicBool,
) -> Result<T, E>
where
    T: Send,
    E: TransactionError,
    F: for<'c> Work<&'c mut Conn, Result<T, E>>,
{
    let conn = guarded.conn();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the legal home of transactions"
    )]
    AnsiTransactionManager::begin_transaction(conn)
        .await
        .map_err(StoreError::from)?;
    match work(conn).await {
        Ok(value) => {
            failpoint::pass_in(Step::BeforeCommit, name).await;
            committing.store(true, Ordering::Relaxed);
            AnsiTransactionManager::commit_transaction(conn)
                .await
                .map_err(|error| match StoreError::from(error) {
                    StoreError::Unavailable(cause) => StoreError::InDoubt(cause),
                    answered => answered,
                })?;
            guarded.give_back();
            failpoint::pass_in(Step::AfterCommit, name).await;
            Ok(value)
        }
        Err(error) => {
            // A connection that can not even roll back is closed by its guard; the cause stays the first error.
            if AnsiTransactionManager::rollback_transaction(conn)
                .await
                .is_ok()
            {
                guarded.give_back();
            }
            Err(error)
        }
    }
}

/// A connection that is closed when it is dropped, unless somebody vouches that nothing is left on its wire.
struct Guarded {
    object: Option<Object<Conn>>,
}

impl Guarded {
    fn conn(&mut self) -> &mut Conn {
        let Some(object) = &mut self.object else {
            unreachable!("only `give_back`, which consumes the guard, takes it")
        };
        object
    }

    fn give_back(mut self) {
        drop(self.object.take());
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// Whether a connection answers what it was asked, and not what was asked before.
async fn answers_this_question(conn: &mut Conn) -> diesel::QueryResult<()> {
    static QUESTION: AtomicI64 = AtomicI64::new(1);
    let asked = QUESTION.fetch_add(1, Ordering::Relaxed);
    let answered: i64 = diesel::select(asked.into_sql::<BigInt>())
        .get_result(conn)
        .await?;
    if answered == asked {
        Ok(())
    } else {
        Err(diesel::result::Error::BrokenTransactionManager)
    }
}

fn pool_error(error: &PoolError) -> StoreError {
    StoreError::Unavailable(anyhow!("{}", cause_of(error)))
}

/// The innermost error: what is around it only says that a connection was wanted.
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn without_answer(error: anyhow::Error, committing: &AtomicBool) -> StoreError {
    if committing.load(Ordering::Relaxed) {
        StoreError::InDoubt(error)
    } else {
        StoreError::Unavailable(error)
    }
}

fn pause_before_retry(tried: u32) -> Duration {
    Duration::from_millis(fastrand::u64(2..=10 << tried))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of connections is small"
)]
fn count(connections: usize) -> f64 {
    connections as f64
}

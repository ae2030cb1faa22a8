//! A lock of MySQL's own (`GET_LOCK`), held by a connection: the way to have one leader among several processes.
//!
//! Who holds the lock is who has the connection. It is lost with it: at once when the process dies, and after the lease
//! when the process no longer says anything, since the server then closes the connection. Whatever only the leader may write goes over
//! this connection, so a former leader that wakes up can not write: its connection is gone.

use std::time::Duration;

use anyhow::anyhow;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::{Conn, StoreError, Work, connect};
use crate::runtime::settings::MysqlSettings;

/// The longest name that MySQL takes.
const NAME_LIMIT: usize = 64;

/// A connection that stands for a lock, or holds it. After any error drop it: an answer may still be on its wire.
pub struct NamedLock {
    conn: Conn,
    name: String,
    lease: Duration,
}

#[derive(diesel::QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Answer {
    #[diesel(sql_type = BigInt)]
    yes: i64,
}

#[derive(diesel::QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

impl NamedLock {
    /// Opens a connection for the lock `<database>.<purpose>`. The server closes it when nothing was heard for the lease, in
    /// whole seconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connect(
        settings: &MysqlSettings,
        purpose: &str,
        lease: Duration,
    ) -> Result<Self, StoreError> {
        let mut conn = connect(settings).await?;
        let seconds = lease.as_secs().max(1);
        let name = bounded(settings.timeout, async {
            // A leader that is paused in the middle of an answer must lose its connection as fast as an idle one.
            conn.batch_execute(&format!(
                "SET SESSION wait_timeout = {seconds}, net_read_timeout = {seconds}, net_write_timeout = {seconds}"
            ))
            .await?;
            let found: Name = diesel::sql_query(format!(
                "SELECT IF(CHAR_LENGTH(n) > {NAME_LIMIT}, SHA2(n, 224), n) AS name \
                 FROM (SELECT CONCAT(DATABASE(), '.', ?) AS n) AS named"
            ))
            .bind::<Text, _>(purpose)
            .get_result(&mut conn)
            .await?;
            Ok(found.name)
        })
        .await?;
        Ok(Self {
            conn,
            name,
            lease: Duration::from_secs(seconds),
        })
    }

    /// The lock's name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often something has to be said on the connection at least, so that a leader that is well keeps the lock: every
    /// second, or three times per lease if that is more.
    pub fn heartbeat(&self) -> Duration {
        (self.lease / 3).min(Duration::from_secs(1))
    }

    /// Takes the lock if it is free. Does not wait for it.
    ///
    /// # Errors
    /// [`StoreError`] of the connection: drop this value.
    pub async fn try_lock(&mut self) -> Result<bool, StoreError> {
        self.ask("SELECT CAST(COALESCE(GET_LOCK(?, 0), 0) AS SIGNED) AS yes")
            .await
    }

    /// Whether this connection holds the lock. Being asked keeps it alive.
    ///
    /// # Errors
    /// [`StoreError`] of the connection: the lock is lost, or will be.
    pub async fn still_held(&mut self) -> Result<bool, StoreError> {
        self.ask("SELECT CAST(COALESCE(IS_USED_LOCK(?) = CONNECTION_ID(), 0) AS SIGNED) AS yes")
            .await
    }

    /// Gives the lock up, so that the next one need not wait for the connection's end.
    ///
    /// # Errors
    /// [`StoreError`] of the connection; the lock is lost with it all the same.
    pub async fn unlock(mut self) -> Result<(), StoreError> {
        self.ask("SELECT CAST(COALESCE(RELEASE_LOCK(?), 0) AS SIGNED) AS yes")
            .await
            .map(|_| ())
    }

    /// Runs statements on the connection, bounded by the lease: after that somebody else may have the lock.
    ///
    /// # Errors
    /// Those of `statements`; [`StoreError::Unavailable`] when the lease has passed.
    pub async fn run<T, F>(&mut self, statements: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> Work<&'c mut Conn, Result<T, StoreError>>,
    {
        bounded(self.lease, statements(&mut self.conn)).await
    }

    async fn ask(&mut self, question: &str) -> Result<bool, StoreError> {
        let asked = diesel::sql_query(question).bind::<Text, _>(&self.name);
        let answer = async { Ok(asked.get_result::<Answer>(&mut self.conn).await?) };
        Ok(bounded(self.lease, answer).await?.yes == 1)
    }
}

async fn bounded<T>(
    bound: Duration,
    statements: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    match tokio::time::timeout(bound, statements).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable(anyhow!(
            "no answer within {bound:?}"
        ))),
    }
}

//! One moment of the write side, read at leisure.

use std::time::Duration;

use anyhow::anyhow;
use diesel_async::SimpleAsyncConnection;

use super::{Conn, StoreError, Work, connect};
use crate::runtime::settings::MysqlSettings;

/// How long one statement may take: whole tables are summed up.
const STATEMENT: Duration = Duration::from_mins(1);

/// A connection in a transaction that sees what was committed before it began, and nothing later. Holds no locks; while it
/// is open, MySQL keeps old versions of rows. After an error drop it.
pub struct Snapshot {
    conn: Conn,
}

impl Snapshot {
    /// Takes the snapshot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn open(settings: &MysqlSettings) -> Result<Self, StoreError> {
        let mut conn = connect(settings).await?;
        let begin = conn.batch_execute(
            "SET SESSION transaction_isolation = 'REPEATABLE-READ', max_execution_time = 60000; \
             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        );
        match tokio::time::timeout(settings.timeout, begin).await {
            Ok(done) => done?,
            Err(_) => return Err(too_long(settings.timeout)),
        }
        Ok(Self { conn })
    }

    /// Reads.
    ///
    /// # Errors
    /// Those of `statements`; [`StoreError::Unavailable`] when they take longer than a minute.
    pub async fn read<T, F>(&mut self, statements: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> Work<&'c mut Conn, Result<T, StoreError>>,
    {
        match tokio::time::timeout(STATEMENT, statements(&mut self.conn)).await {
            Ok(result) => result,
            Err(_) => Err(too_long(STATEMENT)),
        }
    }
}

fn too_long(bound: Duration) -> StoreError {
    StoreError::Unavailable(anyhow!("no answer within {bound:?}"))
}

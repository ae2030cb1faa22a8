//! Opening one connection, set up as every program expects it.

use std::time::Duration;

use anyhow::anyhow;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};

use super::{Conn, StoreError};

/// Opens a connection: READ COMMITTED, UTC, statements that the server itself ends after `timeout`, and a wait for a lock that
/// it ends after half of that, so that the transaction can be tried again on the same connection.
///
/// # Errors
/// [`StoreError::Unavailable`], whatever keeps us out: the next try may succeed.
pub async fn connect(dsn: &str, timeout: Duration) -> Result<Conn, StoreError> {
    let open = async {
        let mut conn = Conn::establish(dsn).await.map_err(|error| {
            StoreError::Unavailable(anyhow!("{}", without_secrets(&error, dsn)))
        })?;
        conn.batch_execute(&format!(
            "SET SESSION transaction_isolation = 'READ-COMMITTED', time_zone = '+00:00', \
             innodb_lock_wait_timeout = {seconds}, max_execution_time = {millis}",
            seconds = (timeout / 2).as_secs().max(1),
            millis = timeout.as_millis().max(1),
        ))
        .await?;
        Ok(conn)
    };
    match tokio::time::timeout(timeout, open).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable(anyhow!(
            "no connection within {timeout:?}"
        ))),
    }
}

/// The name of the database in an address.
pub fn database_of(dsn: &str) -> &str {
    let address = dsn.split('?').next().unwrap_or_default();
    address.rsplit_once('/').map_or("", |(_, name)| name)
}

/// The driver's own words can hold the whole DSN.
fn without_secrets(error: &diesel::ConnectionError, dsn: &str) -> String {
    error.to_string().replace(dsn, "mysql://…")
}

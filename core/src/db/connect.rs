//! Opening one connection, set up as every program expects it.

use anyhow::anyhow;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use mysql_async::{Opts, OptsBuilder, SslOpts};

use super::{Conn, StoreError};
use crate::runtime::settings::{MysqlSettings, Tls};

/// Opens a connection: READ COMMITTED, UTC, statements that the server itself ends after `timeout`, and a wait for a lock that
/// it ends after half of that, so that the transaction can be tried again on the same connection. Where TLS is wanted nothing is said
/// without it: a server that has none, or whose certificate does not prove its name, is as good as away.
///
/// # Errors
/// [`StoreError::Unavailable`], whatever keeps us out: the next try may succeed.
pub async fn connect(settings: &MysqlSettings) -> Result<Conn, StoreError> {
    let timeout = settings.timeout;
    let open = async {
        let mut conn = establish(settings).await.map_err(|error| {
            StoreError::Unavailable(anyhow!("{}", without_secrets(&error, &settings.dsn)))
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

async fn establish(settings: &MysqlSettings) -> ConnectionResult<Conn> {
    let Tls::Required { ca } = &settings.tls else {
        return Conn::establish(&settings.dsn).await;
    };
    let opts = Opts::from_url(&settings.dsn)
        .map_err(|error| ConnectionError::InvalidConnectionUrl(error.to_string()))?;
    let own = ca.iter().map(|file| file.clone().into()).collect();
    let tls = SslOpts::default()
        .with_root_certs(own)
        .with_disable_built_in_roots(ca.is_some());
    // But for TLS, and for the socket that needs none, as diesel-async opens its own.
    let opts = OptsBuilder::from_opts(opts)
        .ssl_opts(tls)
        .prefer_socket(false)
        .stmt_cache_size(0)
        .client_found_rows(true);
    let conn = mysql_async::Conn::new(opts).await;
    Conn::try_from(conn.map_err(|error| ConnectionError::BadConnection(error.to_string()))?).await
}

/// The name of the database in an address.
pub fn database_of(dsn: &str) -> &str {
    let address = dsn.split('?').next().unwrap_or_default();
    address.rsplit_once('/').map_or("", |(_, name)| name)
}

/// The driver's own words can hold the whole DSN.
fn without_secrets(error: &ConnectionError, dsn: &str) -> String {
    error.to_string().replace(dsn, "mysql://…")
}

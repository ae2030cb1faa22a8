//! Opening one connection, set up as every program expects it.

use anyhow::{Context as _, anyhow};
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

/// The name of the database in an address, as the driver reads it: `%20` is a space.
///
/// # Errors
/// If the driver can not read the address, or there is none in it. No message shows the address.
pub fn database_of(dsn: &str) -> anyhow::Result<String> {
    let opts = Opts::from_url(dsn).ok();
    let name = opts.as_ref().and_then(Opts::db_name);
    let name = name.context("MYSQL_DSN names no database, or has an option that is not known")?;
    Ok(name.to_owned())
}

/// A name in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The driver's own words can hold the whole DSN.
fn without_secrets(error: &ConnectionError, dsn: &str) -> String {
    error.to_string().replace(dsn, "mysql://…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_database_is_decoded() {
        for (dsn, name) in [
            ("mysql://a:hush@h/shop", "shop"),
            (
                "mysql://a:hu%2Fsh@h:3306/my%20shop?compression=fast",
                "my shop",
            ),
            ("mysql://a%40b:hush@h/sh%60op%2F1", "sh`op/1"),
            ("mysql://a:hush@h/gr%C3%B6%C3%9Fe", "größe"),
        ] {
            assert_eq!(database_of(dsn).expect(dsn), name);
        }
        for bad in ["mysql://a:hush@h/", "mysql://a:hush@h/shop?hush=1"] {
            let error = database_of(bad).expect_err(bad).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_name_does_not_end_before_its_end() {
        assert_eq!(quoted("sh`op`; DROP"), "`sh``op``; DROP`");
    }
}

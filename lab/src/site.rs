//! A shop of its own for one run: databases, topics and groups that nobody else uses, gone at its end.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::check::read::{mongo, mysql};

/// Who has a user of its own in MySQL.
pub const ACCOUNTS: [&str; 6] = [
    "api",
    "outbox-relay",
    "stock-reservation",
    "order-saga",
    "projector",
    "ops",
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a shop lives.
#[derive(Debug, Clone)]
pub struct Site {
    /// The `MySQL` database of this run, for one who may do everything there.
    pub mysql_dsn: String,
    /// The `MongoDB` database of this run.
    pub mongo_uri: String,
    /// The brokers.
    pub kafka_brokers: String,
    /// What the names of topics and groups begin with.
    pub topic_prefix: String,
    /// What the names of the programs' users in `MySQL` begin with.
    pub users: String,
    /// Their password.
    pub password: String,
    admin_dsn: String,
    database: String,
}

impl Site {
    /// Names a new shop on the servers that the environment names, and makes its `MySQL` database. Its names begin with a word.
    ///
    /// # Errors
    /// If an address is missing, or `MySQL` does not answer or refuses.
    pub async fn create(word: &str) -> anyhow::Result<Self> {
        let run = format!("{}_{:06x}", std::process::id(), fastrand::u32(..1 << 24));
        let site = Self::named(word, &run)?;
        let mut conn = mysql::connect(&site.admin_dsn)
            .await
            .context("failed to reach MySQL")?;
        conn.query_drop(format!("CREATE DATABASE `{}`", site.database))
            .await
            .context("failed to make a database for the shop")?;
        conn.disconnect().await?;
        Ok(site)
    }

    fn named(word: &str, run: &str) -> anyhow::Result<Self> {
        let required = |name: &str| {
            variable(name).with_context(|| {
                format!(
                    "{name} is not set; `make demo` and `make chaos` start the servers and set it"
                )
            })
        };
        let admin_dsn = required("MYSQL_DSN")?;
        let mongo_uri = required("MONGO_URI")?;
        let kafka_brokers = required("KAFKA_BROKERS")?;
        let database = format!("shop_{word}_{run}");
        Ok(Self {
            mysql_dsn: with_database(&admin_dsn, &database).context("MYSQL_DSN")?,
            mongo_uri: with_database(&mongo_uri, &database).context("MONGO_URI")?,
            kafka_brokers,
            topic_prefix: format!("{word}-{run}."),
            users: format!("{run}_"),
            password: format!("{:016x}", fastrand::u64(..)),
            admin_dsn,
            database,
        })
    }

    /// The `MySQL` database for one of its programs.
    pub fn dsn_of(&self, program: &str) -> String {
        let (_, server) = self.mysql_dsn.rsplit_once('@').unwrap_or_default();
        let (user, password) = (self.user_of(program), &self.password);
        format!("mysql://{user}:{password}@{server}")
    }

    fn user_of(&self, program: &str) -> String {
        format!("{}{}", self.users, program.replace('-', "_"))
    }

    /// The same shop as its programs see it: through proxies at other ports.
    ///
    /// # Errors
    /// If an address has no port.
    pub fn through(&self, mysql: u16, kafka: u16, mongo: u16) -> anyhow::Result<Self> {
        Ok(Self {
            mysql_dsn: with_port(&self.mysql_dsn, mysql)?,
            mongo_uri: with_port(&self.mongo_uri, mongo)?,
            kafka_brokers: with_port(&self.kafka_brokers, kafka)?,
            ..self.clone()
        })
    }

    /// Drops databases and topics. Goes on where one of them fails, and says so. The broker drops the groups by itself, soon
    /// after their topics.
    pub async fn remove(&self) {
        let steps = [
            (
                "the MySQL database and its users",
                self.remove_mysql().await,
            ),
            ("the MongoDB database", self.remove_mongo().await),
            ("the topics", self.remove_topics().await),
        ];
        for (what, result) in steps {
            if let Err(error) = result {
                eprintln!("failed to remove {what} of {}: {error:#}", self.database);
            }
        }
    }

    /// Drops the databases of earlier runs that were killed. Only for servers of one's own.
    ///
    /// # Errors
    /// If a server does not answer.
    pub async fn remove_leftovers(word: &str) -> anyhow::Result<()> {
        let dsn = variable("MYSQL_DSN").context("MYSQL_DSN is not set")?;
        let mut conn = mysql::connect(&dsn).await?;
        let left: Vec<String> = conn.query("SHOW DATABASES").await?;
        for database in left {
            if database.starts_with(&format!("shop_{word}_")) {
                let run = database.trim_start_matches(&format!("shop_{word}_"));
                let site = Self::named(word, run)?;
                site.remove().await;
            }
        }
        Ok(conn.disconnect().await?)
    }

    async fn remove_mysql(&self) -> anyhow::Result<()> {
        let mut conn = mysql::connect(&self.admin_dsn).await?;
        conn.query_drop(format!("DROP DATABASE IF EXISTS `{}`", self.database))
            .await?;
        for program in ACCOUNTS {
            let user = self.user_of(program);
            conn.query_drop(format!("DROP USER IF EXISTS '{user}'@'%'"))
                .await?;
        }
        Ok(conn.disconnect().await?)
    }

    async fn remove_mongo(&self) -> anyhow::Result<()> {
        Ok(mongo::open(&self.mongo_uri).await?.drop().await?)
    }

    async fn remove_topics(&self) -> anyhow::Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka_brokers);
        let consumer: BaseConsumer = config.create()?;
        let prefix = self.topic_prefix.clone();
        let existing = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<String>> {
            let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
            let names = metadata
                .topics()
                .iter()
                .map(|topic| topic.name().to_owned());
            Ok(names.filter(|name| name.starts_with(&prefix)).collect())
        })
        .await??;
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let topics: Vec<&str> = existing.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            admin.delete_topics(&topics, &options).await?;
        }
        Ok(())
    }
}

/// A variable of the environment; an empty one counts as not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the programs' own home of settings is theirs: lab shares no code with them"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A whole number from a variable, if it is set.
///
/// # Errors
/// If it is none; the message names it.
pub fn whole<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    variable: impl Fn(&str) -> Option<String>,
    name: &str,
) -> anyhow::Result<Option<T>> {
    let Some(value) = variable(name) else {
        return Ok(None);
    };
    let number = value.parse();
    let number = number.with_context(|| format!("{name}={value}: expected a whole number"))?;
    Ok(Some(number))
}

/// The address of another database of the same server.
fn with_database(address: &str, database: &str) -> anyhow::Result<String> {
    let (address, options) = match address.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (address, String::new()),
    };
    let Some((scheme, rest)) = address.split_once("://") else {
        bail!("expected an address such as mysql://user:password@host:port/database");
    };
    let server = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{server}/{database}{options}"))
}

/// The address of the same thing at another port of this machine.
fn with_port(address: &str, port: u16) -> anyhow::Result<String> {
    let start = address
        .rfind('@')
        .or_else(|| Some(address.find("://")? + 2));
    let host = start.map_or(0, |before| before + 1);
    let rest = address[host..]
        .find(['/', '?'])
        .map_or("", |at| &address[host + at..]);
    let server = &address[host..address.len() - rest.len()];
    if server.contains(',') || !server.contains(':') {
        bail!("expected one server with a port in {server}");
    }
    Ok(format!("{}127.0.0.1:{port}{rest}", &address[..host]))
}

#[cfg(test)]
mod tests {
    use super::{with_database, with_port};

    #[test]
    fn another_port_keeps_the_rest() {
        for (address, expected) in [
            ("mysql://a:b@h:1/shop", "mysql://a:b@127.0.0.1:9/shop"),
            ("mongodb://h:1/shop?x=y", "mongodb://127.0.0.1:9/shop?x=y"),
            ("h:1", "127.0.0.1:9"),
        ] {
            assert_eq!(with_port(address, 9).expect(address), expected);
        }
        assert!(with_port("h:1,i:2", 9).is_err());
    }

    #[test]
    fn another_database_keeps_server_and_options() {
        for (address, expected) in [
            ("mysql://a:b@h:1/shop", "mysql://a:b@h:1/x"),
            ("mysql://a:b@h:1", "mysql://a:b@h:1/x"),
            (
                "mongodb://h:1,i:2/shop?replicaSet=r",
                "mongodb://h:1,i:2/x?replicaSet=r",
            ),
            ("mongodb://h/?tls=true", "mongodb://h/x?tls=true"),
        ] {
            assert_eq!(with_database(address, "x").expect(address), expected);
        }
        assert!(with_database("a:b@tcp(h:1)/shop", "x").is_err());
    }
}

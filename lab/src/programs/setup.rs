//! What programs are told of their shop, and how the shop is made ready for them.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::instance::tail;
use super::{READY_BOUND, Settings};
use crate::client::token;
use crate::site::{ACCOUNTS, Site};

/// What tells a program which shop is its own, and whose tokens it believes. In MySQL it is a user of its own.
pub fn environment(site: &Site, program: &str) -> Settings {
    settings(site, site.dsn_of(program))
}

fn settings(site: &Site, mysql_dsn: String) -> Settings {
    let mut settings = vec![
        ("ENV", "development".to_owned()),
        ("MYSQL_DSN", mysql_dsn),
        ("MONGO_URI", site.mongo_uri.clone()),
        ("KAFKA_BROKERS", site.kafka_brokers.clone()),
        ("TOPIC_PREFIX", site.topic_prefix.clone()),
        ("EVENT_ENCODING", "json".to_owned()),
        // All load comes from one address, and much of it from one user.
        ("RATE_PER_ADDRESS", "0".to_owned()),
        ("RATE_PER_USER", "0".to_owned()),
        ("SOCKETS_PER_USER", "0".to_owned()),
    ];
    settings.extend(token::SETTINGS.map(|(name, value)| (name, value.to_owned())));
    settings
}

/// Makes tables and topics, and the programs' users with their rights, as an operator does.
pub(super) async fn migrate(binaries: &Path, site: &Site, logs: &Path) -> anyhow::Result<()> {
    let log = &logs.join("migrate.log");
    let file = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
    let passwords = logs.join("passwords");
    write_passwords(&passwords, site).context("failed to write the file of passwords")?;
    let mut migration = Command::new(binaries.join("api"));
    migration
        .args(["migrate", "--grants", "--users", &site.users, "--passwords"])
        .arg(&passwords)
        .envs(settings(site, site.mysql_dsn.clone()))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    let Ok(status) = tokio::time::timeout(READY_BOUND, migration.status()).await else {
        bail!(
            "api migrate takes longer than {READY_BOUND:?}:\n{}",
            tail(log)
        );
    };
    let status = status.context("failed to start api migrate")?;
    if !status.success() {
        bail!("api migrate failed ({status}):\n{}", tail(log));
    }
    Ok(())
}

fn write_passwords(path: &Path, site: &Site) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    for program in ACCOUNTS {
        writeln!(file, "{program} {}", site.password)?;
    }
    Ok(())
}

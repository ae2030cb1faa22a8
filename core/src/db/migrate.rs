//! Bringing the tables up to date.

use anyhow::{Context, anyhow};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connect;
use crate::runtime::settings::MysqlSettings;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Makes the DSN's database if it is not there and the user may make it; else the first real connection says what is wrong.
pub async fn create_database(settings: &MysqlSettings) {
    let Some((server, name)) = settings.dsn.rsplit_once('/') else {
        return;
    };
    let name = name.split('?').next().unwrap_or(name);
    let Ok(mut conn) = connect(&format!("{server}/"), settings.timeout).await else {
        return;
    };
    let quoted = name.replace('`', "``");
    let created = conn
        .batch_execute(&format!(
            "CREATE DATABASE IF NOT EXISTS `{quoted}` CHARACTER SET utf8mb4"
        ))
        .await;
    if let Err(error) = created {
        tracing::warn!("failed to make database {name}, going on with what there is: {error}");
    }
}

/// Runs the migrations that have not run yet and returns their names. Safe to repeat. Needs the multi-thread runtime.
///
/// # Errors
/// If MySQL is away or a migration fails; those before it stay.
pub async fn migrate(settings: &MysqlSettings) -> anyhow::Result<Vec<String>> {
    let conn = connect(&settings.dsn, settings.timeout).await?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let done = harness
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| anyhow!("{error}"))
        .context("failed to migrate the database")?;
    Ok(done
        .into_iter()
        .map(|version| version.to_string())
        .collect())
}

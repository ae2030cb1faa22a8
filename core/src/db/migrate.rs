//! Bringing the tables up to date.

use anyhow::{Context, anyhow};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connect;
use crate::runtime::settings::MysqlSettings;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

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
    Ok(done.into_iter().map(|version| version.to_string()).collect())
}

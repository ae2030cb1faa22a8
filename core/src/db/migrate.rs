//! Bringing the tables up to date.

use anyhow::{Context, anyhow};
use diesel::QueryableByName;
use diesel_async::{AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connect::{database_of, quoted};
use super::{Conn, connect};
use crate::runtime::settings::MysqlSettings;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Makes the DSN's database if it is not there and the user may make it; else the first real connection says what is wrong.
pub async fn create_database(settings: &MysqlSettings) {
    let dsn = settings.dsn.split('?').next().unwrap_or_default();
    let (Some((server, _)), Ok(name)) = (dsn.rsplit_once('/'), database_of(&settings.dsn)) else {
        return;
    };
    let on_server = MysqlSettings {
        dsn: format!("{server}/"),
        ..settings.clone()
    };
    let Ok(mut conn) = connect(&on_server).await else {
        return;
    };
    let quoted = quoted(&name);
    let created = conn
        .batch_execute(&format!(
            "CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET utf8mb4"
        ))
        .await;
    if let Err(error) = created {
        tracing::warn!("failed to make database {name}, going on with what there is: {error}");
    }
}

/// Runs the migrations that have not run yet and returns their names. Safe to repeat, and to run in two places at once: one
/// waits for the other, a minute at most. Needs the multi-thread runtime.
///
/// # Errors
/// If MySQL is away, somebody else migrates for too long, or a migration fails; those before it stay.
pub async fn migrate(settings: &MysqlSettings) -> anyhow::Result<Vec<String>> {
    let mut conn = connect(settings).await?;
    wait_for_turn(&mut conn).await?;
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

#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Turn {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    taken: i64,
}

/// Takes a lock that goes with the connection. `SET`, since the server bounds the time of a `SELECT`.
async fn wait_for_turn(conn: &mut Conn) -> anyhow::Result<()> {
    let wait = "SET @taken = GET_LOCK(CONCAT('migrate.', SHA2(DATABASE(), 224)), 60)";
    conn.batch_execute(wait).await?;
    let turn: Turn = diesel::sql_query("SELECT CAST(COALESCE(@taken, 0) AS SIGNED) AS taken")
        .get_result(conn)
        .await?;
    anyhow::ensure!(
        turn.taken == 1,
        "somebody else has been migrating this database for a minute"
    );
    Ok(())
}

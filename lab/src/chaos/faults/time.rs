//! Clocks that are off, and a transaction that commits long after its number was given.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::chaos::scene::Scene;
use crate::check::read::mysql;

/// Each program's clock, in seconds.
const CLOCKS: [(&str, i32); 5] = [
    ("api", 3_600),
    ("stock-reservation", -3_600),
    ("order-saga", -3_600),
    ("order-saga-2", 3_600),
    ("projector", 3_600),
];
/// How long they are off.
const OFF: Duration = Duration::from_secs(7);

/// The programs' clocks are an hour off, in both directions.
pub async fn clocks(scene: &Scene) -> anyhow::Result<()> {
    for (label, error) in CLOCKS {
        let error = vec![("CLOCK_ERROR", error.to_string())];
        scene.programs.restart_with(label, error);
        scene.note();
    }
    tokio::time::sleep(OFF).await;
    Ok(())
}

/// Somebody registers in a transaction that stays open, while others get later numbers and pass it by.
pub async fn late_commit(scene: &Scene, late: Duration) -> anyhow::Result<()> {
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    let now: i64 = conn
        .query_first("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', NOW(3)) DIV 1000")
        .await?
        .unwrap_or_default();
    let (user, event) = (id_of(now)?, id_of(now)?);
    let email = format!("late-{user}@example.org");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now) * 1_000_000)?;
    let written = at.format(&Rfc3339)?;
    let payload = json!({
        "id": user, "version": 1, "name": "Somebody late", "email": email,
        "createdAt": written, "updatedAt": written,
    });
    let at = "TIMESTAMPADD(MICROSECOND, ? * 1000, '1970-01-01')";
    conn.query_drop("START TRANSACTION").await?;
    conn.exec_drop(
        format!(
            "INSERT INTO users (id, version, name, email, created_at, updated_at) \
             VALUES (UUID_TO_BIN(?), 1, 'Somebody late', ?, {at}, {at})"
        ),
        (user.to_string(), &email, now, now),
    )
    .await?;
    conn.exec_drop(
        format!(
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, version, event_type, content_type, payload, \
             created_at) VALUES (UUID_TO_BIN(?), 'user', UUID_TO_BIN(?), 1, 'user.created', 'application/json', ?, {at})"
        ),
        (event.to_string(), user.to_string(), payload.to_string(), now),
    )
    .await?;
    let number = conn.last_insert_id().unwrap_or_default();
    tokio::time::sleep(late).await;
    let passed: Option<u64> = conn
        .exec_first(
            "SELECT COUNT(*) FROM outbox WHERE seq > ? AND processed_at IS NOT NULL",
            (number,),
        )
        .await?;
    let passed = passed.unwrap_or_default();
    anyhow::ensure!(passed > 0, "nobody passed outbox row {number} by");
    scene.note();
    conn.query_drop("COMMIT").await?;
    conn.disconnect().await?;
    scene.remark(format!("{passed} rows passed it by"));
    Ok(())
}

/// A `UUIDv7` of this moment.
fn id_of(millis: i64) -> anyhow::Result<Uuid> {
    let mut random = [0; 10];
    fastrand::Rng::new().fill(&mut random);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis.try_into()?, &random).into_uuid())
}

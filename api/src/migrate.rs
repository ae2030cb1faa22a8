//! `api migrate`: tables, the programs' rights to them, views' indexes and topics, brought up to date. Safe to repeat.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use shop_core::bus::ensure_topics;
use shop_core::db::{self, Db};
use shop_core::runtime::{Runtime, Shutdown};
use shop_core::views::Views;

use crate::grants::Users;

/// What `api migrate` can be told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Gives every program's MySQL user its rights too, and takes away any other to the shop's tables; `MYSQL_DSN` needs the right to do so
    #[arg(long)]
    grants: bool,
    #[command(flatten)]
    users: Users,
    /// A file with a line "program password" for each program: makes the users, and sets their passwords; else they must be there
    #[arg(long, value_name = "FILE", requires = "grants")]
    passwords: Option<PathBuf>,
}

/// How long a server that is away is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often a line says what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Migrates.
///
/// # Errors
/// If a server stays away, or refuses.
pub async fn run(runtime: Runtime, arguments: Arguments) -> anyhow::Result<()> {
    // Before anything is changed: a file that can not be read ends it.
    let accounts = arguments.users.accounts(arguments.passwords.as_ref())?;
    let Runtime {
        program,
        settings,
        shutdown,
        ..
    } = runtime;
    let db =
        Db::new(&settings.mysql, settings.kafka.encoding).context("failed to make the pool")?;
    let views = Views::connect(&settings.mongo, program.as_str()).await?;

    patiently("MySQL", &shutdown, async || {
        db::create_database(&settings.mysql).await;
        Ok(db.ping().await?)
    })
    .await?;
    let done = db::migrate(&settings.mysql).await?;
    say(&match done.len() {
        0 => "tables: up to date".to_owned(),
        count => format!(
            "tables: {count} migrations, the last one {}",
            done[count - 1]
        ),
    });

    if arguments.grants {
        accounts.apply(&settings.mysql).await?;
        say("rights: up to date");
    }

    patiently("MongoDB", &shutdown, async || Ok(views.ping().await?)).await?;
    views
        .ensure_indexes()
        .await
        .context("failed to make the views' indexes")?;
    say("views: up to date");

    let topics = patiently("Kafka", &shutdown, async || {
        Ok(ensure_topics(&settings.kafka).await?)
    })
    .await?;
    say(&match topics.created.len() {
        0 => "topics: up to date".to_owned(),
        count => format!("topics: {count} made"),
    });
    Ok(())
}

/// Asks a server until it answers, says now and then that it does not, and gives up after a while.
async fn patiently<T>(
    server: &str,
    shutdown: &Shutdown,
    mut ask: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    let mut said = begun;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if begun.elapsed() >= PATIENCE {
            return Err(error.context(format!("{server} is away for {} s", PATIENCE.as_secs())));
        }
        if said == begun || said.elapsed() >= SAY_EVERY {
            let (passed, most) = (begun.elapsed().as_secs(), PATIENCE.as_secs());
            say(&format!(
                "waiting for {server}, {passed} of {most} s: {error:#}"
            ));
            said = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = shutdown.requested() => bail!("stopped while waiting for {server}"),
        }
    }
}

fn say(line: &str) {
    eprintln!("migrate: {line}");
}

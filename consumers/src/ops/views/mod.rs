//! `ops views`: the generations of the views.

mod compare;
mod next;
mod rebuild;

use clap::Subcommand;
use shop_core::db::lock::NamedLock;
use shop_core::views::{Served, Views};

pub use rebuild::{Outcome, Rebuild, rebuild};

use super::{Desk, OpsError, Progress};

/// The lock's purpose: one at a time builds or drops generations.
pub const LOCK: &str = "views";
/// How long somebody who does not answer keeps the lock.
const LEASE: std::time::Duration = std::time::Duration::from_secs(10);

/// What to do about the generations of the views.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Tells which generation is served and which others there are
    Status,
    /// Builds the next generation from the write side and the topics, compares it with the one that is served, and serves it
    Rebuild(Rebuild),
    /// Removes a generation that is not served
    Drop {
        /// Its number
        #[arg(long)]
        generation: u32,
    },
}

impl Verb {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let views = Views::connect(&desk.settings.mongo, "ops").await?;
        match self {
            Self::Status => status(&views).await,
            Self::Rebuild(options) => {
                let served = views.served().await?;
                let (from, next) = (served.generation, served.last + 1);
                let what = format!(
                    "build generation {next} of the views, have it served instead of {from}, and keep {from}"
                );
                if !desk.consent.to_change(&what) {
                    return Ok(());
                }
                let outcome = rebuild(desk, &views, &options, &Progress::new()).await?;
                println!("{outcome}");
                Ok(())
            }
            Self::Drop { generation } => drop_one(desk, &views, generation).await,
        }
    }
}

async fn status(views: &Views) -> Result<(), OpsError> {
    let served = views.served().await?;
    let paused = if served.paused {
        ", its writers pause"
    } else {
        ""
    };
    println!("generation {} is served{paused}", served.generation);
    for generation in views.generations().await? {
        if served.kept.contains(&generation) {
            println!("generation {generation} was served before and is kept");
        } else if generation != served.generation {
            println!("generation {generation} is unfinished; the next rebuild removes it");
        }
    }
    Ok(())
}

/// Takes the lock that builders and droppers of generations share; a process that ends frees it.
///
/// # Errors
/// [`OpsError::Refused`] if somebody has it.
pub async fn take_lock(desk: &Desk) -> Result<NamedLock, OpsError> {
    let mut lock = NamedLock::connect(&desk.settings.mysql, LOCK, LEASE).await?;
    if lock.try_lock().await? {
        return Ok(lock);
    }
    Err(OpsError::refused(
        "somebody else is building or removing a generation of the views",
    ))
}

/// Removes a generation that is there and not served.
///
/// # Errors
/// [`OpsError::Refused`].
pub async fn drop_one(desk: &Desk, views: &Views, generation: u32) -> Result<(), OpsError> {
    let lock = take_lock(desk).await?;
    let outcome = drop_alone(desk, views, generation).await;
    // Given back whatever came of it: the server frees it a moment after the connection, when the next one may have asked for it.
    let freed = lock.unlock().await;
    outcome?;
    Ok(freed?)
}

/// The same where nobody else builds or removes one.
async fn drop_alone(desk: &Desk, views: &Views, generation: u32) -> Result<(), OpsError> {
    let served = views.served().await?;
    if served.generation == generation {
        return Err(OpsError::refused(format!(
            "generation {generation} is the one that is served"
        )));
    }
    if !views.generations().await?.contains(&generation) {
        return Err(OpsError::refused(format!(
            "there is no generation {generation}"
        )));
    }
    if !desk
        .consent
        .to_destroy(&format!("remove generation {generation} of the views"))?
    {
        return Ok(());
    }
    let kept = served
        .kept
        .iter()
        .copied()
        .filter(|kept| *kept != generation)
        .collect();
    let without = Served {
        kept,
        ..served.clone()
    };
    if views.change_served(&served, without).await?.is_none() {
        return Err(OpsError::refused("somebody else changed what is served"));
    }
    views.drop_generation(generation).await?;
    println!("generation {generation} is gone");
    Ok(())
}

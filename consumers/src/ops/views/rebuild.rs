//! `ops views rebuild`: the next generation, from the write side to being served.
//!
//! 1. Take the lock; remove what a rebuild that was killed left; take a number nobody had.
//! 2. Note where the topics end, copy the write side as of one moment, take in the topics from those ends ([`Next`]).
//! 3. Compare with the generation that is served. What differs is looked at again until it has arrived or stayed different;
//!    what stayed so is listed, and only `--accept` goes on.
//! 4. Have writers pause, catch up with the topics' ends, compare what changed since, and have the new generation served. Hold
//!    the pause until no reader can know the old one any more: while both are equal, nobody sees a version fall.
//!
//! Until the last step nothing of it is read by anybody. A process that dies leaves a generation that is never served, and at worst a pause
//! that writers end by themselves.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use shop_core::db::lock::NamedLock;
use shop_core::views::{FOLLOWS_WITHIN, Served, View, Views};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::compare::{self, Difference, Differences};
use super::next::Next;
use super::take_lock;
use crate::ops::audit::{Mark, PROJECTOR};
use crate::ops::{Desk, OpsError, Progress};
use crate::projector::gate::PAUSE_AT_MOST;

/// How long taking in what came while tables were copied may go without an end in sight.
const CATCH_UP: Duration = Duration::from_mins(10);
/// How long writers are made to pause before a switch is given up.
const SWITCH: Duration = Duration::from_secs(4);
const SWITCHES: usize = 5;
/// How long a difference may be on its way.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Differences that are listed.
const LISTED: usize = 100;

/// Builds the next generation of the views from the write side and the topics
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Rebuild {
    /// Has the new generation served although it differs from the one that is served now
    #[arg(long)]
    pub accept: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The generation that is served now.
    pub generation: u32,
    /// The one that was, and is kept.
    pub before: u32,
    /// Documents copied from the write side.
    pub copied: u64,
    /// Records taken in from the topics.
    pub followed: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Documents that differed, and were accepted.
    pub differences: usize,
    /// How long writers paused.
    pub paused: Duration,
    /// How long all of it took.
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "generation {} is served: {} documents copied, {} records of the topics taken in ({} unreadable), \
             {} differences accepted; writers paused for {:.1} s; {:.1} s in all. \
             Generation {} is kept: ops views drop --generation {}",
            self.generation,
            self.copied,
            self.followed,
            self.unreadable,
            self.differences,
            self.paused.as_secs_f64(),
            self.took.as_secs_f64(),
            self.before,
            self.before
        )
    }
}

/// Rebuilds.
///
/// # Errors
/// [`OpsError::Refused`] if another rebuild is at work, or if there are differences that are not accepted.
pub async fn rebuild(
    desk: &Desk,
    views: &Views,
    options: &Rebuild,
    progress: &Progress,
) -> Result<Outcome, OpsError> {
    let mut lock = take_lock(desk).await?;
    let (finish, finished) = oneshot::channel::<()>();
    let (outcome, is_held) = {
        let mut keeping = pin!(keep(&mut lock, finished));
        tokio::select! {
            outcome = build(desk, views, options, progress) => {
                drop(finish);
                // Never dropped in the middle of a question, whose answer would stay on the wire.
                (outcome, keeping.as_mut().await.is_none())
            }
            lost = &mut keeping => {
                let lost = lost.unwrap_or_else(|| OpsError::Failed(anyhow::anyhow!("lost the lock")));
                (Err(lost), false)
            }
        }
    };
    if is_held {
        // Whatever came of it: the next one may ask for it at once.
        let freed = lock.unlock().await;
        if outcome.is_ok() {
            freed?;
        }
    }
    outcome
}

/// Keeps the lock alive until it is told to end, or returns why it is lost.
async fn keep(lock: &mut NamedLock, mut finished: oneshot::Receiver<()>) -> Option<OpsError> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(lock.heartbeat()) => {}
            _ = &mut finished => return None,
        }
        let lost = match lock.still_held().await {
            Ok(true) => continue,
            Ok(false) => anyhow::anyhow!("lost the lock"),
            Err(error) => anyhow::Error::new(error).context("lost the lock"),
        };
        return Some(OpsError::Failed(lost));
    }
}

async fn build(
    desk: &Desk,
    views: &Views,
    options: &Rebuild,
    progress: &Progress,
) -> Result<Outcome, OpsError> {
    let served = begin(views).await?;
    let live = views.at(served.generation);
    let number = served.last;
    progress.step(&format!(
        "building generation {number} beside {}",
        served.generation
    ));
    let mut next = Next::copy(desk, views.at(number), progress).await?;
    let to = next.ends().await?;
    next.catch_up(&to, CATCH_UP, progress).await?;

    progress.step("comparing");
    next.take_touched();
    let candidates = compare::all(&live, &next.views, progress).await?;
    let (differences, open) = settle(desk, &live, &mut next, candidates, progress).await?;
    if !differences.is_empty() {
        list(&differences);
        if !options.accept {
            views.drop_generation(number).await?;
            return Err(OpsError::refused(format!(
                "{} documents differ; --accept has the rebuilt ones served",
                differences.len()
            )));
        }
    }
    let known: HashSet<(View, Uuid)> = differences.keys().copied().collect();
    let switched = switch(views, &live, &mut next, options, open, &known, progress).await?;
    Ok(Outcome {
        generation: number,
        before: served.generation,
        copied: next.copied,
        followed: next.followed,
        unreadable: next.unreadable,
        differences: differences.len() + switched.differences,
        paused: switched.paused,
        took: progress.elapsed(),
    })
}

/// Removes what was left by others, and takes a number. Nobody else does so meanwhile: we have the lock.
async fn begin(views: &Views) -> Result<Served, OpsError> {
    loop {
        let served = views.served().await?;
        for generation in views.generations().await? {
            if generation != served.generation && !served.kept.contains(&generation) {
                tracing::info!("removing generation {generation}, which was never finished");
                views.drop_generation(generation).await?;
            }
        }
        let numbered = Served {
            last: served.last + 1,
            paused: false, // whoever had writers pause is gone
            ..served.clone()
        };
        // A writer may end a pause at the same moment.
        if let Some(served) = views.change_served(&served, numbered).await? {
            return Ok(served);
        }
    }
}

/// Looks at differences again. Returns those that stayed, and documents whose writers were at work and that are to be
/// compared once these pause.
async fn settle(
    desk: &Desk,
    live: &Views,
    next: &mut Next,
    candidates: Differences,
    progress: &Progress,
) -> Result<(Differences, HashSet<(View, Uuid)>), OpsError> {
    let begun = Instant::now();
    let mut moved: HashSet<(View, Uuid)> = HashSet::new();
    let mut stayed = Differences::new();
    let mut open = candidates;
    let mut mark = Mark::set(desk, &[PROJECTOR]).await?;
    while !open.is_empty() {
        let arrived = mark.has_passed(desk).await?;
        let to = next.ends().await?;
        next.catch_up(&to, CATCH_UP, progress).await?;
        let again = compare::some(live, &next.views, open.keys().copied()).await?;
        let patient = begun.elapsed() < PATIENCE;
        let mut still = Differences::new();
        for (document, before) in open {
            match again.get(&document) {
                None => {
                    moved.insert(document);
                }
                // It was written since, as a whole; what was different then is gone.
                Some(now) if served_version(now) > served_version(&before) && patient => {
                    moved.insert(document);
                }
                Some(now @ Difference::Fields(_)) => {
                    stayed.insert(document, now.clone());
                }
                Some(now) if arrived || !patient => {
                    stayed.insert(document, now.clone());
                }
                Some(now) => {
                    still.insert(document, now.clone());
                }
            }
        }
        open = still;
        if !open.is_empty() {
            progress.at(|| format!("{} differences may be on their way", open.len()));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok((stayed, moved))
}

fn served_version(difference: &Difference) -> Option<i64> {
    match difference {
        Difference::Older(found, _) | Difference::Newer(found, _) => Some(*found),
        Difference::Missing | Difference::Extra | Difference::Fields(_) => None,
    }
}

struct Switched {
    differences: usize,
    paused: Duration,
}

/// Has writers pause, brings the new generation up to what they have done, and has it served.
async fn switch(
    views: &Views,
    live: &Views,
    next: &mut Next,
    options: &Rebuild,
    mut open: HashSet<(View, Uuid)>,
    known: &HashSet<(View, Uuid)>,
    progress: &Progress,
) -> Result<Switched, OpsError> {
    for attempt in 1..=SWITCHES {
        let to = next.ends().await?;
        next.catch_up(&to, CATCH_UP, progress).await?;
        open.extend(next.take_touched());
        // As much as possible before anybody has to wait.
        level(live, next, open.union(known).copied()).await?;
        progress.step("switching");
        let served = views.served().await?;
        let pause = Served {
            paused: true,
            ..served.clone()
        };
        let Some(paused) = views.change_served(&served, pause).await? else {
            continue;
        };
        let begun = Instant::now();
        let ready = finish(live, next, &open, known, progress).await;
        let differences = match ready {
            Ok(differences) => differences,
            Err(error) => {
                go_on(views, &paused).await?;
                if attempt == SWITCHES {
                    return Err(error);
                }
                tracing::warn!("switching again: {error}");
                continue;
            }
        };
        if !differences.is_empty() {
            list(&differences);
            if !options.accept {
                go_on(views, &paused).await?;
                return Err(OpsError::refused(format!(
                    "{} documents differ; --accept has the rebuilt ones served",
                    differences.len()
                )));
            }
        }
        let generation = next.views.generation().await?;
        let mut kept = paused.kept.clone();
        kept.push(paused.generation);
        let switched = Served {
            generation,
            kept,
            ..paused.clone()
        };
        // Somebody else ended the pause: what we caught up with is not all there is.
        let Some(switched) = views.change_served(&paused, switched).await? else {
            continue;
        };
        // Until every reader has looked again. Writers that lose patience do so later than that.
        debug_assert!(2 * FOLLOWS_WITHIN < PAUSE_AT_MOST);
        tokio::time::sleep(2 * FOLLOWS_WITHIN).await;
        go_on(views, &switched).await?;
        return Ok(Switched {
            differences: differences.len(),
            paused: begun.elapsed(),
        });
    }
    Err(OpsError::Failed(anyhow::anyhow!(
        "could not switch: somebody changed what is served {SWITCHES} times"
    )))
}

/// While writers pause: catches up, compares what changed, and brings the generation that is served to the same versions.
/// A document that its writers have not brought up to date yet is no difference.
async fn finish(
    live: &Views,
    next: &mut Next,
    open: &HashSet<(View, Uuid)>,
    known: &HashSet<(View, Uuid)>,
    progress: &Progress,
) -> Result<Differences, OpsError> {
    let to = next.ends().await?;
    next.catch_up(&to, SWITCH, progress).await?;
    let mut documents = next.take_touched();
    documents.extend(open.iter().copied());
    let mut differences = level(live, next, documents).await?;
    differences.retain(|document, _| !known.contains(document));
    Ok(differences)
}

/// Does for writers what they have not done yet, in the generation that is served: while some readers look into one and
/// some into the other, both must say the same. Nobody is told; that stays the writers' business. Returns what else differs.
async fn level(
    live: &Views,
    next: &Next,
    documents: impl IntoIterator<Item = (View, Uuid)>,
) -> Result<Differences, OpsError> {
    let mut differences = compare::some(live, &next.views, documents).await?;
    let behind =
        |difference: &Difference| matches!(difference, Difference::Older(..) | Difference::Missing);
    let late: Vec<(View, Uuid)> = differences
        .iter()
        .filter(|(_, difference)| behind(difference))
        .map(|(document, _)| *document)
        .collect();
    compare::bring_up(live, &next.views, &late).await?;
    differences.retain(|_, difference| !behind(difference));
    Ok(differences)
}

/// Lets writers go on.
async fn go_on(views: &Views, paused: &Served) -> Result<(), OpsError> {
    let on = Served {
        paused: false,
        ..paused.clone()
    };
    // If it was changed, the pause is over already.
    views.change_served(paused, on).await?;
    Ok(())
}

fn list(differences: &Differences) {
    for ((view, id), difference) in differences.iter().take(LISTED) {
        println!("{} {}: {difference}", view.collection(), view.id(*id));
    }
    if differences.len() > LISTED {
        println!("and {} more", differences.len() - LISTED);
    }
}

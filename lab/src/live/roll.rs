//! `ROLL=1`: copies of the API are asked to stop one after the other, as a deploy does, while orders move along.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::board::{Ending, Pages};
use super::driver::{Driver, evenly};
use super::judge::{TOLD, Tally};
use super::kill::{COPIES, READY_BOUND};
use super::options::Options;
use super::scene::{BOUND, Scene, judge};
use super::spread::{percent, percentile};
use super::subscriber::{Doors, Manner};
use crate::check::Violation;
use crate::host::Stopwatch;
use crate::programs::{Programs, Settings};
use crate::stage::Run;

/// `LIVE_HANDOVER`, which nobody sets here.
const HANDOVER: Duration = Duration::from_secs(3);
/// Parts into which it is cut.
const PARTS: usize = 6;
/// How many percent of a copy's endings each part may have.
const SHARE: std::ops::RangeInclusive<f64> = 5.0..=35.0;
/// Fewer clients than this tell nothing about shares.
const CLIENTS: usize = 100;
/// Nor does a handover during which the host kept more percent of the processor than this: everything was late then.
const WITHHELD: f64 = 25.0;
/// Before the first roll.
const LEAD: Duration = Duration::from_secs(2);
/// Within which time a copy's clients must be gone.
const LEAVE_BOUND: Duration = Duration::from_secs(10);
/// "Going away".
const AWAY: u16 = 1001;
/// How often it is looked whether a program was started again.
const LOOK: Duration = Duration::from_millis(10);

/// A copy that was asked to stop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roll {
    /// Which copy.
    pub copy: &'static str,
    /// Clients that it had.
    pub clients: usize,
    /// Endings of its connections.
    pub endings: usize,
    /// How many of them were not by close code 1001.
    pub without_goodbye: usize,
    /// From the signal to the first ending, to the half of them, to the last, in ms.
    pub first_ms: u64,
    /// The half of them.
    pub half_ms: u64,
    /// The last.
    pub last_ms: u64,
    /// How many percent of the endings were in each half second from the first on.
    pub shares: Vec<f64>,
    /// How many percent of the processor the host withheld meanwhile.
    pub withheld: f64,
    /// From the signal until the copy was ready again.
    pub ready_seconds: f64,
}

/// What is found out.
#[derive(Debug)]
pub struct Found {
    /// Copy by copy.
    pub rolls: Vec<Roll>,
    /// What subscribers were told, and not.
    pub tally: Tally,
    /// More that is worth a line.
    pub notes: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(run: &Run, programs: &Programs, options: &Options) -> anyhow::Result<Found> {
    let doors = Doors::of(programs, &COPIES)?;
    let manner = Manner {
        resumes: true,
        rest: None,
        comes_back: true,
    };
    let scene = Scene::open(run, programs, options.subscribers, &doors, manner).await?;
    let over = LEAD + options.every * 3;
    let schedule = evenly(scene.orders.len(), over);
    let from = Instant::now();
    let driver = Driver::start(&run.shop, &scene.orders, schedule, from);
    let mut rolled = Vec::new();
    for (number, copy) in COPIES.into_iter().enumerate() {
        let at = from + LEAD + options.every * u32::try_from(number)?;
        tokio::time::sleep_until(at.into()).await;
        run.progress.set(format!("{copy} is asked to stop"));
        rolled.push(roll(programs, &scene, number).await?);
    }
    run.progress.set("the last steps");
    let steps = driver.finish().await?.len();
    let board = scene.crowd.board.clone();
    let tally = scene.close(run, true).await?;
    judge(run, &tally);
    let pages = board.read();
    let mut rolls = Vec::new();
    for (number, rolled) in rolled.into_iter().enumerate() {
        let (roll, problems) = account(&pages, number, &rolled);
        for problem in problems {
            run.violate(Violation::new(TOLD, roll.copy, problem));
        }
        rolls.push(roll);
    }
    // One at least must tell.
    let is_crowded = rolls.iter().any(|roll: &Roll| roll.clients >= CLIENTS);
    if is_crowded && !rolls.iter().any(Roll::tells) {
        let problem =
            "the host withheld the processor at every roll: nobody can say how endings were spread";
        run.violate(Violation::new(TOLD, "live", problem));
    }
    let tries = pages.failed_tries;
    let notes = vec![format!(
        "{steps} steps were taken; {tries} tries to connect were in vain"
    )];
    Ok(Found {
        rolls,
        tally,
        notes,
    })
}

/// What was done to a copy.
struct Rolled {
    at: Instant,
    clients: usize,
    withheld: f64,
    ready: Duration,
}

impl Roll {
    /// Whether its shares tell how endings are spread.
    fn tells(&self) -> bool {
        self.clients >= CLIENTS && self.withheld <= WITHHELD
    }
}

async fn roll(programs: &Programs, scene: &Scene, copy: usize) -> anyhow::Result<Rolled> {
    let label = COPIES[copy];
    let board = &scene.crowd.board;
    let connected = |pages: &Pages| pages.told.iter().all(|told| told.at_copy.is_some());
    board.until(BOUND, "everybody connected", connected).await?;
    let here = |pages: &Pages| {
        let here = pages.told.iter().filter(|told| told.at_copy == Some(copy));
        here.count()
    };
    let clients = here(&board.read());
    let (at, watch) = (Instant::now(), Stopwatch::start());
    ensure!(programs.process(label).is_some(), "{label} is not running");
    programs.restart_with(label, Settings::new());
    // Who is lost comes back to another copy, or to this one once it is up again: each of its endings counts.
    let gone = |pages: &Pages| of(pages, copy).count() >= clients;
    let left = board.until(LEAVE_BOUND, "clients handed over", gone).await;
    let withheld = watch.withheld();
    let is_back = async {
        while programs.process(label).is_none() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let back = tokio::time::timeout(READY_BOUND, is_back).await;
    back.with_context(|| format!("{label} was not started again"))?;
    programs.ready(READY_BOUND).await?;
    let ready = at.elapsed();
    // Without all of its endings there is still something to say about those that there were.
    drop(left);
    Ok(Rolled {
        at,
        clients,
        withheld,
        ready,
    })
}

/// The endings of a copy's connections.
fn of(pages: &Pages, copy: usize) -> impl Iterator<Item = &Ending> {
    let endings = pages.endings.iter();
    endings.filter(move |ending| ending.copy == copy)
}

/// What became of a copy's clients, and what is wrong about it.
fn account(pages: &Pages, copy: usize, rolled: &Rolled) -> (Roll, Vec<String>) {
    let endings: Vec<&Ending> = of(pages, copy).collect();
    let mut problems = Vec::new();
    let early = endings.iter().filter(|ending| ending.at < rolled.at);
    let early = early.count();
    if early > 0 {
        problems.push(format!(
            "{early} clients lost it before it was asked to stop"
        ));
    }
    if endings.len() < rolled.clients {
        let (some, all) = (endings.len(), rolled.clients);
        problems.push(format!("{some} of {all} clients were handed over"));
    }
    let others = endings.iter().filter(|ending| ending.code != Some(AWAY));
    let without_goodbye = others.count();
    if without_goodbye > 0 {
        problems.push(format!(
            "{without_goodbye} endings without close code {AWAY}"
        ));
    }
    let times: Vec<Duration> = endings
        .iter()
        .map(|ending| ending.at.saturating_duration_since(rolled.at))
        .collect();
    let at = |percent| percentile(&times, percent).map_or(0, millis);
    let roll = Roll {
        copy: COPIES[copy],
        clients: rolled.clients,
        endings: endings.len(),
        without_goodbye,
        first_ms: at(0),
        half_ms: at(50),
        last_ms: at(100),
        shares: shares(&times),
        withheld: rolled.withheld,
        ready_seconds: rolled.ready.as_secs_f64(),
    };
    let shares = &roll.shares;
    if roll.tells() && !shares.iter().all(|share| SHARE.contains(share)) {
        problems.push(format!("endings are not spread: {shares:.1?} percent"));
    }
    (roll, problems)
}

/// How many percent of these times are in each part of the handover; the last part has no end. It begins with the first
/// ending: how long a busy machine takes to bring a signal is another matter.
fn shares(times: &[Duration]) -> Vec<f64> {
    let part = HANDOVER.as_millis() / PARTS as u128;
    let first = times.iter().min().copied().unwrap_or_default();
    let place = |time: &Duration| {
        let since = time.saturating_sub(first).as_millis();
        let place = usize::try_from(since / part).unwrap_or(PARTS);
        place.min(PARTS - 1)
    };
    let count = |part: usize| times.iter().filter(|time| place(time) == part).count();
    (0..PARTS)
        .map(|part| percent(count(part), times.len()))
        .collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(at: Instant, endings: &[(u64, Option<u16>)]) -> Pages {
        let ending = |(ms, code): &(u64, Option<u16>)| Ending {
            subscriber: 0,
            copy: 0,
            at: at + Duration::from_millis(*ms),
            code: *code,
        };
        Pages {
            endings: endings.iter().map(ending).collect(),
            ..Pages::default()
        }
    }

    #[test]
    fn endings_all_over_the_time_with_a_goodbye_are_right() {
        let at = Instant::now();
        let endings: Vec<_> = (0..120).map(|n| (n * 25, Some(AWAY))).collect();
        let rolled = Rolled {
            at,
            clients: 120,
            withheld: 0.0,
            ready: Duration::ZERO,
        };
        let (roll, problems) = account(&pages(at, &endings), 0, &rolled);
        assert_eq!(problems, [""; 0]);
        assert_eq!((roll.first_ms, roll.last_ms), (0, 2_975));
    }

    #[test]
    fn a_machine_that_was_not_let_run_tells_nothing_about_shares() {
        let at = Instant::now();
        let together = vec![(100, Some(AWAY)); 120];
        let rolled = |withheld| Rolled {
            at,
            clients: 120,
            withheld,
            ready: Duration::ZERO,
        };
        let problems = |withheld| account(&pages(at, &together), 0, &rolled(withheld)).1.len();
        assert_eq!((problems(WITHHELD), problems(WITHHELD + 1.0)), (1, 0));
    }

    #[test]
    fn who_goes_without_a_goodbye_or_all_at_once_or_too_early_is_noticed() {
        let at = Instant::now();
        let rolled = |clients, at| Rolled {
            at,
            clients,
            withheld: 0.0,
            ready: Duration::ZERO,
        };
        let together = vec![(100, Some(AWAY)); 120];
        let lost = [(5, None), (20, Some(AWAY))];
        for (endings, rolled, expected) in [
            (&together[..], rolled(120, at), "not spread"),
            (&lost, rolled(2, at), "1 endings without"),
            (&lost, rolled(3, at), "2 of 3 clients"),
            (&lost, rolled(2, at + Duration::from_millis(9)), "before"),
        ] {
            let (_, problems) = account(&pages(at, endings), 0, &rolled);
            let found = problems.iter().any(|problem| problem.contains(expected));
            assert!(found, "{expected}: {problems:?}");
        }
    }
}

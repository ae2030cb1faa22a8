//! `KILL=1`: copies of the API are killed one after the other and stay away, while orders move along.
//!
//! Who comes back at once is told by its snapshot alone where an order stands, and has missed something only if two steps were taken
//! meanwhile. So some subscribers rest before they come back, and their orders take two steps right after a kill: without
//! cursors they have to miss one, which the control shows.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use super::crowd::RESTS_EVERY;
use super::driver::{Driver, Schedule, evenly, quietest_second};
use super::judge::{TOLD, Tally};
use super::options::Options;
use super::scene::{Scene, judge};
use super::subscriber::{Doors, Manner};
use crate::check::Violation;
use crate::programs::Programs;
use crate::stage::Run;

/// The copies that subscribers connect to; the first copy takes the mutations and is left alone.
pub const COPIES: [&str; 3] = ["api-2", "api-3", "api-4"];
/// Before the first kill.
const LEAD: Duration = Duration::from_secs(3);
/// From the moment a copy may come back until the next is killed, if it is ready by then.
const BACK: Duration = Duration::from_secs(5);
/// How long a copy may take to be ready again.
pub const READY_BOUND: Duration = Duration::from_mins(1);
/// Within which time after a kill the orders of those who rest take their first two steps.
const RUSH_MS: u64 = 500;

/// Subscribers of one manner, and what became of them.
#[derive(Debug, Serialize)]
pub struct Part {
    /// What sets it apart.
    pub name: &'static str,
    /// Subscribers of one order.
    pub subscribers: usize,
    /// The orders.
    pub orders: usize,
    /// Copies that were killed, one after the other.
    pub kills: usize,
    /// How long each of them stayed away.
    pub away_seconds: f64,
    /// Steps that were taken.
    pub steps: usize,
    /// Steps in the quietest second of all in which a copy was away.
    pub steps_in_the_quietest_second: usize,
    /// Connections that were lost.
    pub connections_lost: usize,
    /// Tries to connect that were in vain.
    pub failed_tries: usize,
    /// What subscribers were told, and not.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Runs it with cursors, then the control without.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(
    run: &Run,
    programs: &Programs,
    options: &Options,
    parts: &mut Vec<Part>,
) -> anyhow::Result<Vec<String>> {
    let with = part(run, programs, options, true).await?;
    judge(run, &with.tally);
    if with.tally.caught_up == 0 {
        let problem = "nothing happened while anybody was away: this run shows nothing";
        run.violate(Violation::new(TOLD, "the kills", problem));
    }
    parts.push(with);
    let without = part(run, programs, options, false).await?;
    let (missed, by) = (without.tally.missed, without.tally.missed_by);
    if without.tally.untrue > 0 {
        let problem = format!("{} items are not true", without.tally.untrue);
        run.violate(Violation::new(TOLD, "the control", problem));
    }
    parts.push(without);
    if missed == 0 {
        let problem = "who came back without a cursor missed nothing: this run shows nothing";
        run.violate(Violation::new(TOLD, "the control", problem));
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "control: {missed} versions missed by {by} subscribers, caught"
    )])
}

async fn part(
    run: &Run,
    programs: &Programs,
    options: &Options,
    resumes: bool,
) -> anyhow::Result<Part> {
    let (name, victims) = if resumes {
        ("with cursors", &COPIES[..])
    } else {
        ("control, without", &COPIES[..1])
    };
    let manner = Manner {
        resumes,
        rest: Some(options.every / 4),
        comes_back: true,
    };
    let doors = Doors::of(programs, &COPIES)?;
    let scene = Scene::open(run, programs, options.subscribers, &doors, manner).await?;
    let schedule = rushing(scene.orders.len(), victims.len(), options.every);
    let from = Instant::now();
    let driver = Driver::start(&run.shop, &scene.orders, schedule, from);
    let mut away = Vec::new();
    for (number, victim) in (0..).zip(victims) {
        tokio::time::sleep_until((from + kill_at(number, options.every)).into()).await;
        run.progress.set(format!("{name}: {victim} is killed"));
        away.push(kill(programs, victim, options.every).await?);
    }
    run.progress.set(format!("{name}: the last steps"));
    let taken = driver.finish().await?;
    let orders = scene.orders.len();
    let board = scene.crowd.board.clone();
    let tally = scene.close(run, resumes).await?;
    let pages = board.read();
    let dismissed = pages.endings.iter().filter_map(|ending| ending.code);
    for code in dismissed.take(1) {
        let problem = format!("a server said goodbye with {code}, though none was asked to stop");
        run.violate(Violation::new(TOLD, name, problem));
    }
    Ok(Part {
        name,
        subscribers: options.subscribers,
        orders,
        kills: victims.len(),
        away_seconds: options.every.as_secs_f64(),
        steps: taken.len(),
        steps_in_the_quietest_second: quietest_second(&taken, &away),
        connections_lost: pages.endings.len(),
        failed_tries: pages.failed_tries,
        tally,
    })
}

/// When a copy is killed, counted from the beginning.
fn kill_at(number: u32, away: Duration) -> Duration {
    LEAD + (away + BACK) * number
}

/// Even steps; but the orders of those who rest take two steps at once right after a kill, and two more at once some time later.
fn rushing(orders: usize, kills: usize, away: Duration) -> Schedule {
    let over = kill_at(u32::try_from(kills).unwrap_or(u32::MAX), away);
    let mut schedule = evenly(orders, over);
    for (number, times) in schedule.iter_mut().step_by(RESTS_EVERY).enumerate() {
        let kill = kill_at(u32::try_from(number % kills).unwrap_or_default(), away);
        let first = kill + Duration::from_millis(fastrand::u64(..RUSH_MS));
        let later = first + over.saturating_sub(first).mul_f64(fastrand::f64());
        *times = vec![first, first, later, later];
    }
    schedule
}

/// Kills a copy and keeps it away; between which moments it was.
async fn kill(
    programs: &Programs,
    label: &str,
    away: Duration,
) -> anyhow::Result<(Instant, Instant)> {
    ensure!(programs.kill(label), "{label} is not running");
    programs.send_away(label, true);
    let from = Instant::now();
    tokio::time::sleep(away).await;
    let to = Instant::now();
    programs.send_away(label, false);
    programs.ready(READY_BOUND).await?;
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_those_who_rest_take_two_steps_right_after_a_kill() {
        let away = Duration::from_mins(1);
        let schedule = rushing(40, 3, away);
        for (number, times) in schedule.iter().enumerate() {
            assert!(times.len() == 4 && times.is_sorted(), "{times:?}");
            if number % RESTS_EVERY == 0 {
                let kills = (0..3).map(|kill| kill_at(kill, away));
                let mut after = kills.filter_map(|kill| times[0].checked_sub(kill));
                assert!(times[0] == times[1] && times[2] == times[3]);
                assert!(after.any(|after| after < Duration::from_secs(1)));
            }
        }
    }
}

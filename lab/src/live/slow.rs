//! `SLOW=1`: rounds with and without a client that asks for everything and reads nothing, by turns at the same process.
//!
//! Until the buffers towards it are full such a client is as any that asks for much: what it asks for is worked out. So what
//! counts, in either kind of round, is what comes after the first third.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::board::{Pages, Why};
use super::crowd::Crowd;
use super::deaf::{Deaf, ended_as_slow};
use super::driver::{Driver, evenly, place};
use super::judge::{Owed, TOLD, has_all, tally};
use super::memory;
use super::options::Options;
use super::pass::Pass;
use super::scene::{BOUND, judge};
use super::spread::percentile;
use super::subscriber::{Doors, Manner};
use super::truth::Truth;
use crate::check::Violation;
use crate::check::evidence::{self, Line};
use crate::client::documents;
use crate::programs::Programs;
use crate::stage::Run;

/// The copy that everybody subscribes to; the first one takes the mutations.
const COPY: &str = "api-2";
/// Rounds of each kind.
const ROUNDS: usize = 7;
/// Orders of a round; each of them has many subscribers.
const ORDERS: usize = 40;
/// The version of an order that is confirmed; the driver brings about what follows.
const CONFIRMED: u32 = 2;
/// How much memory may grow once the buffers of a client that does not read are full.
const GROWTH_KIB: u64 = 4 * 1024;
/// How long the program may take to end such a client: `SOCKET_WRITE_TIMEOUT`, and as long again for the goodbye.
const END_BOUND: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const ASK: Duration = Duration::from_millis(250);

/// What kind a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first one, in which caches and connections are made; it does not count.
    WarmUp,
    /// Nobody is slow.
    Clean,
    /// One client reads nothing.
    Slow,
}

/// A round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// What kind it is.
    pub kind: Kind,
    /// Items that were told as they happened, from the second third on; the delays are theirs.
    pub items: usize,
    /// From the change to its arrival, in ms: half of them took no longer.
    pub p50_ms: i64,
    /// 99 of 100 took no longer.
    pub p99_ms: i64,
    /// None took longer.
    pub max_ms: i64,
    /// 99 of 100 of all of the round's took no longer.
    pub whole_p99_ms: i64,
    /// The program's memory in the first third of the round, at most, in KiB.
    pub memory_first_kib: u64,
    /// The same in the last third.
    pub memory_last_kib: u64,
    /// Whether the program ended the slow client.
    pub ended_as_slow: bool,
}

/// Runs it.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(
    run: &Run,
    programs: &Programs,
    options: &Options,
    rounds: &mut Vec<Round>,
) -> anyhow::Result<Vec<String>> {
    let stage = Stage {
        run,
        programs,
        options,
        doors: Doors::of(programs, &[COPY])?,
        door: programs.door(COPY).context("no second copy")?,
        health: programs.health(COPY).context("no second copy")?,
        product: wordy_product(run).await?,
    };
    let pairs = [Kind::Clean, Kind::Slow].into_iter().cycle();
    let kinds = std::iter::once(Kind::WarmUp).chain(pairs.take(2 * ROUNDS));
    for (number, kind) in kinds.enumerate() {
        let line = format!("round {number} of {}: {kind:?}", 2 * ROUNDS);
        run.progress.set(line);
        let round = stage.round(kind).await;
        rounds.push(round.with_context(|| format!("round {number}"))?);
    }
    for problem in problems(rounds) {
        run.violate(Violation::new(TOLD, "a slow client", problem));
    }
    let slow = rounds.iter().filter(|round| round.kind == Kind::Slow);
    let ended = slow.filter(|round| round.ended_as_slow).count();
    Ok(vec![
        format!("of the clients that read nothing, {ended} of {ROUNDS} were ended as slow"),
        medians(rounds),
    ])
}

struct Stage<'a> {
    run: &'a Run,
    programs: &'a Programs,
    options: &'a Options,
    doors: Doors,
    door: SocketAddr,
    health: SocketAddr,
    product: Uuid,
}

impl Stage<'_> {
    async fn round(&self, kind: Kind) -> anyhow::Result<Round> {
        let manner = Manner {
            resumes: true,
            rest: None,
            comes_back: true,
        };
        let mut crowd = Crowd::new(&self.doors, manner);
        let count = ORDERS.min(self.options.subscribers);
        let orders = place(self.run, count, || self.lines()).await?;
        crowd.watch(self.options.subscribers, &orders, |order| {
            Pass::of_buyer(&self.run.shop, order)
        })?;
        crowd.begun().await?;
        crowd.reached(CONFIRMED, BOUND).await?;
        let ended_before = ended_as_slow(self.health).await?;
        let deaf = match kind {
            Kind::Slow => Some(Deaf::open(self.door).await?),
            _ => None,
        };
        self.run.progress.set(format!("{kind:?}: orders move"));
        let schedule = evenly(orders.len(), self.options.every);
        let from = Instant::now();
        let driver = Driver::start(&self.run.shop, &orders, schedule, from);
        let mut memory = Vec::new();
        tokio::select! {
            taken = driver.finish() => { taken?; }
            never = memory::watch(self.programs, COPY, &mut memory) => match never {},
        }
        let truth = Truth::ask(self.run, &orders).await?;
        let board = &crowd.board;
        let told = board.until_each(BOUND, "the last version", |told| has_all(told, &truth));
        told.await?;
        let ended_as_slow = match deaf {
            Some(deaf) => self.wait_for_its_end(deaf, ended_before).await?,
            None => false,
        };
        let board = crowd.board.clone();
        drop(crowd);
        let pages = board.read();
        self.judge(&pages, &truth);
        let since = from + self.options.every / 3;
        Ok(measured(kind, &pages, since, &memory, ended_as_slow))
    }

    fn lines(&self) -> Vec<Line> {
        vec![Line {
            product: self.product,
            quantity: 1,
        }]
    }

    /// Whether the program ends the client within a bound; it leaves by itself then.
    async fn wait_for_its_end(&self, deaf: Deaf, before: u64) -> anyhow::Result<bool> {
        self.run.progress.set("the slow client is waited for");
        let deadline = Instant::now() + END_BOUND;
        let mut ended = false;
        while !ended && Instant::now() < deadline {
            tokio::time::sleep(ASK).await;
            ended = ended_as_slow(self.health).await? > before;
        }
        drop(deaf);
        Ok(ended)
    }

    fn judge(&self, pages: &Pages, truth: &Truth) {
        judge(self.run, &tally(pages, truth, Owed::FromFirst));
        let lost = pages.endings.len();
        if lost > 0 {
            let problem = format!("{lost} subscribers that read lost their connections");
            self.run.violate(Violation::new(TOLD, COPY, problem));
        }
        for problem in &pages.problems {
            let problem = Violation::new(TOLD, "a subscription", problem);
            self.run.violate(problem);
        }
    }
}

/// A product of which there is much to tell, so that buffers are full soon.
async fn wordy_product(run: &Run) -> anyhow::Result<Uuid> {
    let price = json!({ "amount": "12.99", "currencyCode": "EUR" });
    let description = "Much to tell. ".repeat(350);
    let input =
        json!({ "name": "A mug", "description": description, "price": price, "stock": 1_000_000 });
    let (document, kind) = (documents::CREATE_PRODUCT, evidence::Kind::Product);
    let shop = &run.shop;
    shop.manage("createProduct", document, input, kind).await
}

fn measured(
    kind: Kind,
    pages: &Pages,
    since: Instant,
    memory: &[u64],
    ended_as_slow: bool,
) -> Round {
    let delays = |since: Option<Instant>| -> Vec<i64> {
        let items = pages.told.iter().flat_map(|told| &told.items);
        items
            .filter(|item| item.why == Why::Live && item.version > CONFIRMED)
            .filter(|item| since.is_none_or(|since| item.at >= since))
            .map(|item| item.delay_ms)
            .collect()
    };
    let whole_p99_ms = percentile(&delays(None), 99).unwrap_or_default();
    let delays = delays(Some(since));
    let at = |percent| percentile(&delays, percent).unwrap_or_default();
    let (memory_first_kib, memory_last_kib) = memory::first_and_last(memory);
    Round {
        kind,
        items: delays.len(),
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
        whole_p99_ms,
        memory_first_kib,
        memory_last_kib,
        ended_as_slow,
    }
}

fn p99s(rounds: &[Round], kind: Kind) -> Vec<i64> {
    let these = rounds.iter().filter(|round| round.kind == kind);
    these.map(|round| round.p99_ms).collect()
}

fn medians(rounds: &[Round]) -> String {
    let median = |kind| percentile(&p99s(rounds, kind), 50).unwrap_or_default();
    let range = |kind, percent| percentile(&p99s(rounds, kind), percent).unwrap_or_default();
    format!(
        "p99 in clean rounds {} to {} ms, median {}; with a slow client {} to {} ms, median {}",
        range(Kind::Clean, 0),
        range(Kind::Clean, 100),
        median(Kind::Clean),
        range(Kind::Slow, 0),
        range(Kind::Slow, 100),
        median(Kind::Slow),
    )
}

/// What a slow client did to others, or to memory.
fn problems(rounds: &[Round]) -> Vec<String> {
    let mut problems = Vec::new();
    let most = p99s(rounds, Kind::Clean).into_iter().max();
    let median = percentile(&p99s(rounds, Kind::Slow), 50);
    if median > most {
        problems.push(format!("the others were held up: {}", medians(rounds)));
    }
    for (number, round) in rounds.iter().enumerate() {
        let (first, last) = (round.memory_first_kib, round.memory_last_kib);
        if round.kind == Kind::Slow && last > first + GROWTH_KIB {
            problems.push(format!(
                "memory grew from {first} to {last} KiB in round {number}"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(kind: Kind, p99_ms: i64, memory: (u64, u64)) -> Round {
        Round {
            kind,
            items: 100,
            p50_ms: 1,
            p99_ms,
            max_ms: p99_ms,
            whole_p99_ms: p99_ms,
            memory_first_kib: memory.0,
            memory_last_kib: memory.1,
            ended_as_slow: true,
        }
    }

    #[test]
    fn a_slow_client_that_holds_others_up_or_costs_memory_is_noticed() {
        let clean = [20, 30, 25].map(|p99| round(Kind::Clean, p99, (0, 9_000)));
        for (slow, memory, expected) in [
            ([29, 30, 99], (50_000, 54_000), 0),
            ([29, 31, 99], (50_000, 54_000), 1),
            ([29, 30, 99], (50_000, 55_000), 3),
        ] {
            let mut rounds = clean.to_vec();
            rounds.extend(slow.map(|p99| round(Kind::Slow, p99, memory)));
            assert_eq!(problems(&rounds).len(), expected, "{slow:?} {memory:?}");
        }
    }
}

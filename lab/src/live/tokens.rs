//! `TOKENS=1`: tokens run out while orders move along; most subscribers show a new one over the open socket in time, some do not.
//!
//! Who renews must notice nothing. Who does not must be closed at once, and not be told what happens from then on: its order takes
//! three steps just then. The judge must be able to fail: it is asked about one whose token lasts as if it had run out, and about
//! those who do not renew as if they did.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use super::board::{Board, Pages};
use super::crowd::Crowd;
use super::driver::{Driver, evenly, place};
use super::goal::Goal;
use super::goal::Should::{Be, BeAtLeast};
use super::judge::{Owed, TOLD, Tally, has_all, tally};
use super::lapse::Lapse;
use super::options::Options;
use super::pass::Pass;
use super::scene::BOUND;
use super::subscriber::{Doors, Manner};
use super::truth::Truth;
use super::{goal, lapse};
use crate::check::Violation;
use crate::client::{Token, documents};
use crate::programs::Programs;
use crate::stage::Run;

/// The copy that everybody subscribes to; the first one takes the mutations.
const COPY: &str = "api-2";
/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(5);
/// How long after a token the next one is shown, in milliseconds.
const RENEWED_AFTER: RangeInclusive<u64> = 2_700..=3_300;
/// At the least so often, in seconds: what is shown by then counts as in time.
const RENEWED_WITHIN: u64 = 4;
/// How many do not renew.
const CARELESS: usize = 50;
/// Between two of them.
const APART: Duration = Duration::from_millis(60);
/// When their orders take their steps: before the token runs out by so much …
const BEFORE: Duration = Duration::from_secs(2);
/// … and so many milliseconds after that.
const AFTER_MS: [u64; 3] = [5, 300, 600];
/// How long the last of them may take to be gone until it is judged.
const GONE_BOUND: Duration = Duration::from_secs(3);
/// An order that is confirmed.
const CONFIRMED: u32 = 2;
/// Its last version.
const DELIVERED: u32 = 6;

/// What is found out.
#[derive(Debug)]
pub struct Found {
    /// Each figure beside its goal.
    pub goals: Vec<Goal>,
    /// What those were told who renew.
    pub tally: Tally,
    /// What the controls have to say.
    pub notes: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// If the scenario could not be run.
pub async fn run(run: &Run, programs: &Programs, options: &Options) -> anyhow::Result<Found> {
    let doors = Doors::of(programs, &[COPY])?;
    let manner = Manner {
        resumes: true,
        rest: None,
        comes_back: true,
    };
    let mut crowd = Crowd::new(&doors, manner);
    let orders = place(run, options.subscribers, || run.catalogue.some_lines()).await?;
    crowd.watch(options.subscribers, &orders, |order| {
        Ok(Pass::Renewed {
            user: run.shop.customer_of(order)?,
            life: LIFE,
            after: RENEWED_AFTER,
        })
    })?;
    crowd.begun().await?;
    crowd.reached(CONFIRMED, BOUND).await?;
    let schedule = evenly(orders.len(), options.every);
    let driver = Driver::start(&run.shop, &orders, schedule, Instant::now());
    let careless = Careless::gather(run, &doors).await?;
    run.progress.set("the others renew their tokens");
    driver.finish().await?;
    let truth = Truth::ask(run, &orders).await?;
    let board = crowd.board.clone();
    let told = board.until_each(BOUND, "the last version", |told| has_all(told, &truth));
    if let Err(error) = told.await {
        run.violate(Violation::new(TOLD, "who renews", format!("{error:#}")));
    }
    drop(crowd);

    let pages = board.read();
    let tally = tally(&pages, &truth, Owed::FromFirst);
    let shown = u64::try_from(options.subscribers)? * (options.every.as_secs() / RENEWED_WITHIN);
    let mut goals = renewed(&pages, &tally);
    goals.push(Goal::new(
        "renewed: tokens shown over open sockets",
        pages.renewals,
        BeAtLeast(usize::try_from(shown)?),
    ));
    goals.extend(lapse::goals(&careless.lapses()));
    let controls = careless.controls();
    goals.extend(controls.iter().map(|(_, goal)| goal.clone()));
    for problem in goal::missed(&goals) {
        run.violate(Violation::new(TOLD, "tokens", problem));
    }
    let careless = careless.board.read();
    for problem in pages.problems.iter().chain(&careless.problems) {
        run.violate(Violation::new(TOLD, "a subscription", problem));
    }
    for wrong in &tally.wrong {
        run.violate(Violation::new(TOLD, "who renews", wrong));
    }
    Ok(Found {
        goals,
        tally,
        notes: controls.into_iter().map(|(note, _)| note).collect(),
    })
}

/// What is to become of those who renew.
fn renewed(pages: &Pages, tally: &Tally) -> Vec<Goal> {
    let reconnects = pages.endings.len() + pages.failed_tries;
    let wrong = tally.disordered + tally.untrue;
    vec![
        Goal::new("renewed: reconnects", reconnects, Be(0)),
        Goal::new("renewed: versions missed", tally.missed, Be(0)),
        Goal::new("renewed: versions told twice", tally.doubled, Be(0)),
        Goal::new("renewed: items out of order or not true", wrong, Be(0)),
    ]
}

/// Those who do not renew, each of an order of its own. The last one's token lasts; it is only judged as if it did not.
struct Careless {
    board: Board,
    truth: Truth,
    /// When their tokens ran out.
    until: Vec<Instant>,
}

impl Careless {
    async fn gather(run: &Run, doors: &Doors) -> anyhow::Result<Self> {
        let orders = place(run, CARELESS + 1, || run.catalogue.some_lines()).await?;
        confirmed(run, &orders).await?;
        run.progress.set("some do not renew their tokens");
        let manner = Manner {
            resumes: true,
            rest: None,
            comes_back: false,
        };
        let mut crowd = Crowd::new(doors, manner);
        let (mut until, mut drivers) = (Vec::new(), Vec::new());
        for (number, order) in orders.iter().enumerate() {
            let (token, end) = Token::short(run.shop.customer_of(*order)?, LIFE)?;
            let pass = if number < CARELESS {
                Pass::Lasting(token)
            } else {
                Pass::of_buyer(&run.shop, *order)?
            };
            crowd.join(*order, pass);
            let after = AFTER_MS.map(|ms| end + Duration::from_millis(ms));
            let from = Instant::now();
            let times = end.checked_sub(BEFORE).into_iter().chain(after);
            let times = times.map(|at| at.saturating_duration_since(from));
            let schedule = vec![times.collect()];
            drivers.push(Driver::start(&run.shop, &[*order], schedule, from));
            until.push(end);
            tokio::time::sleep(APART).await;
        }
        crowd.begun().await?;
        for driver in drivers {
            driver.finish().await?;
        }
        let board = crowd.board.clone();
        let gone = |pages: &Pages| pages.endings.len() >= CARELESS;
        // Who is still there then is found by the judge.
        let _ = board.until(GONE_BOUND, "the others gone", gone).await;
        let told = |pages: &Pages| {
            let last = pages.told.get(CARELESS);
            last.is_some_and(|told| told.newest() >= DELIVERED)
        };
        let told = board.until(BOUND, "the last version for the control", told);
        told.await?;
        Ok(Self {
            truth: Truth::ask(run, &orders).await?,
            board,
            until,
        })
    }

    /// What became of those whose tokens ran out.
    fn lapses(&self) -> Vec<Lapse> {
        let pages = self.board.read();
        let careless = self.until.iter().take(CARELESS).enumerate();
        let lapse = |(number, until): (usize, &Instant)| Lapse::of(&pages, number, *until);
        careless.map(lapse).collect()
    }

    /// What the judge says of those who are not what it takes them for; it must say something.
    fn controls(&self) -> Vec<(String, Goal)> {
        let pages = self.board.read();
        let lasting = self.until.get(CARELESS);
        let lasting = lasting.map(|until| Lapse::of(&pages, CARELESS, *until));
        let lasting = lapse::goals(lasting.as_slice());
        let renewed = renewed(&pages, &tally(&pages, &self.truth, Owed::FromFirst));
        [
            (
                "control: a token that lasts, judged as one that ran out",
                lasting,
            ),
            ("control: who does not renew, judged as who does", renewed),
        ]
        .into_iter()
        .map(|(what, goals)| {
            let missed = goal::missed(&goals);
            let goal = Goal::new(what, missed.len(), BeAtLeast(2));
            (format!("{what}, misses: {}", missed.join("; ")), goal)
        })
        .collect()
    }
}

/// Waits until these orders are confirmed.
async fn confirmed(run: &Run, orders: &[Uuid]) -> anyhow::Result<()> {
    for order in orders {
        let variables = json!({ "id": format!("order_{order}"), "minVersion": CONFIRMED });
        let buyer = run.shop.buyer(*order)?;
        let shown = run.shop.query(&buyer, documents::ORDER_AT_LEAST, variables);
        shown
            .await
            .with_context(|| format!("order_{order} is not confirmed"))?;
    }
    Ok(())
}

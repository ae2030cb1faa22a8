//! One run from the first database to the last dropped topic.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::board::Board;
use super::case::Case;
use super::grammar::Grammar;
use super::health::{API, held, read_logs, settled, watch};
use super::options::Options;
use super::play::Player;
use super::report::Report;
use super::things::Things;
use super::values::Source;
use crate::check::quiet::{self, Waiting};
use crate::check::{Clients, judge, read};
use crate::client::{Journal, Shop};
use crate::programs::{Plan, Programs, target};
use crate::site::Site;
use crate::stage::{Progress, in_a_shop};

/// How many cases are played at once.
const PLAYERS: usize = 12;
/// `PAYMENT_TIMEOUT`: nothing is called off but by a case.
const PAYMENT_TIMEOUT: &str = "2h";
/// What half a request, a silent socket or a version that never comes may hold up is short, so that more cases are played.
const SHORT: [(&str, &str); 3] = [
    ("HTTP_READ_TIMEOUT", "1s"),
    ("SOCKET_INIT_TIMEOUT", "1s"),
    ("READ_YOUR_WRITE_TIMEOUT", "100ms"),
];
/// How long connections may take to close after the warm-up.
const REST: Duration = Duration::from_secs(5);
/// How long the last cases may take when the time is up.
const LAST: Duration = Duration::from_mins(1);
/// How long it may take until nothing is under way.
const QUIET_BOUND: Duration = Duration::from_mins(2);
/// Broken promises that are told, at most.
const VIOLATIONS: usize = 20;

/// Runs it; true if every goal was reached.
///
/// # Errors
/// If it could not be run to its end.
pub async fn fuzz(options: &Options) -> anyhow::Result<bool> {
    println!("SEED={}", options.seed);
    let file = target()?.join("fuzz.json");
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let mut plan = Plan::new(PAYMENT_TIMEOUT, target()?.join("fuzz-logs"));
    let short = SHORT.map(|(name, value)| (name, value.to_owned()));
    plan.settings.extend(short);
    let progress = Progress::start();
    if let Some(number) = options.case {
        let played = in_a_shop("fuzz", &plan, &progress, async |_, programs| {
            progress.finish(); // the screen is the case's
            one(options.seed, number, programs).await
        });
        return played.await;
    }
    let report = in_a_shop("fuzz", &plan, &progress, async |site, programs| {
        all(options, site, programs, &plan.logs, &progress).await
    });
    let report = report.await?;
    report.write(&file)?;
    print!("{}", report.table());
    println!("{}", file.display());
    Ok(report.is_good())
}

/// What cases are made from, and where they are played.
struct Stage {
    grammar: Grammar,
    things: Things,
    seed: u64,
    next: AtomicU64,
}

impl Stage {
    async fn set(seed: u64, programs: &Programs) -> anyhow::Result<Arc<Self>> {
        let shop = Shop::new(&programs.api.to_string(), Journal::default())?;
        Ok(Arc::new(Self {
            grammar: Grammar::read()?,
            things: Things::create(&shop).await?,
            seed,
            next: AtomicU64::new(0),
        }))
    }

    fn case(&self, number: u64) -> anyhow::Result<(Case, Option<String>)> {
        let source = Source {
            grammar: &self.grammar,
            things: &self.things,
        };
        let case = Case::of(self.seed, number, source)?;
        let bearer = case.role.bearer(&self.things)?;
        Ok((case, bearer))
    }
}

/// Plays one case and tells everything about it.
async fn one(seed: u64, number: u64, programs: &Programs) -> anyhow::Result<bool> {
    let stage = Stage::set(seed, programs).await?;
    let (case, bearer) = stage.case(number)?;
    println!("{case}");
    let mut player = Player::new(programs.api);
    let verdict = player.play(&case, bearer.as_deref()).await;
    println!("heard: {}", verdict.heard.join(", "));
    for finding in &verdict.findings {
        println!("FINDING {finding}");
    }
    let deaths = programs.deaths();
    for death in &deaths {
        println!("FINDING {death}");
    }
    Ok(verdict.findings.is_empty() && deaths.is_empty())
}

async fn all(
    options: &Options,
    site: &Site,
    programs: &Programs,
    logs: &Path,
    progress: &Progress,
) -> anyhow::Result<Report> {
    progress.set("filling the shop");
    let stage = Stage::set(options.seed, programs).await?;
    let board = Board::default();
    let process = programs.process(API);
    let begun = Instant::now();
    let (warm, end, took) = tokio::select! {
        played = async {
            play(&stage, programs, &board, begun + options.warm_up(), progress).await?;
            tokio::time::sleep(REST).await;
            let warm = held(programs)?;
            play(&stage, programs, &board, begun + options.lasting, progress).await?;
            let took = begun.elapsed();
            progress.set("waiting until connections are closed");
            let end = settled(programs, warm.files).await?;
            anyhow::Ok((warm, end, took))
        } => played?,
        watched = watch(programs, &board) => match watched? {},
    };
    if programs.process(API) != process {
        board.find("the API is another process than at first");
    }
    let checked = check(site, &board, progress).await;
    if let Err(error) = checked {
        board.find(format!("the shop can not be checked: {error:#}"));
    }
    for death in programs.deaths() {
        board.find(format!("a program died by itself: {death}"));
    }
    read_logs(logs, &board)?;
    Ok(Report::new(options, board.read(), took, warm, end))
}

/// Plays cases with many players until a moment.
async fn play(
    stage: &Arc<Stage>,
    programs: &Programs,
    board: &Board,
    until: Instant,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut players = JoinSet::new();
    for _ in 0..PLAYERS {
        let (stage, board, address) = (Arc::clone(stage), board.clone(), programs.api);
        players.spawn(async move {
            let mut player = Player::new(address);
            while Instant::now() < until {
                let number = stage.next.fetch_add(1, Ordering::Relaxed);
                let (case, bearer) = stage.case(number)?;
                let verdict = player.play(&case, bearer.as_deref()).await;
                board.note(&case, verdict);
            }
            anyhow::Ok(())
        });
    }
    let begun = Instant::now();
    let (before, _) = board.counts();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            ended = players.join_next() => match ended {
                None => return Ok(()),
                Some(ended) => ended.context("a player failed")??,
            },
            _ = tick.tick() => {
                let (cases, found) = board.counts();
                let seconds = begun.elapsed().as_secs().max(1);
                let rate = u64::try_from(cases - before)? / seconds;
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                let seed = stage.seed;
                progress.set(format!(
                    "SEED={seed}: {cases} cases, {rate} a second, {found} findings, {left} s left"
                ));
                let late = Instant::now().saturating_duration_since(until);
                anyhow::ensure!(late < LAST, "the last cases do not end");
            }
        }
    }
}

/// Whatever was asked for, the shop keeps its promises.
async fn check(site: &Site, board: &Board, progress: &Progress) -> anyhow::Result<()> {
    progress.set("waiting until nothing is under way");
    let quiet = quiet::wait(site, QUIET_BOUND, Waiting::Stock, Vec::new).await?;
    progress.set("comparing MySQL, topics and views");
    // Nobody wrote down which orders the cases placed.
    let clients = Clients {
        unknown_orders: usize::MAX,
        ..Clients::default()
    };
    let evidence = read::read(site, clients).await?;
    let violations = judge::judge(&evidence);
    for violation in violations.iter().chain(&quiet.violations).take(VIOLATIONS) {
        board.find(violation.to_string());
    }
    Ok(())
}

//! One run from the first database to the last dropped topic.

use anyhow::ensure;
use rustix::process::{Resource, getrlimit};

use super::judge::TOLD;
use super::options::{Mode, Options};
use super::report::Report;
use super::{kill, roll, slow, tokens};
use crate::check::Violation;
use crate::client::{Journal, Shop};
use crate::programs::{Plan, Programs, target};
use crate::stage::{Progress, Run, in_a_shop};

/// `PAYMENT_TIMEOUT`: orders wait for their turn, and nothing is called off.
const PAYMENT_TIMEOUT: &str = "2h";
/// Files that a process has open besides the subscribers' sockets, at most.
const OTHER_FILES: u64 = 256;

/// Runs it; true if every promise was kept.
///
/// # Errors
/// If it could not be run to its end.
pub async fn live(options: &Options) -> anyhow::Result<bool> {
    enough_files(options.subscribers)?;
    let file = target()?.join("live.json");
    // The result of an earlier run is not this one's.
    let _ = std::fs::remove_file(&file);
    let mut plan = Plan::new(PAYMENT_TIMEOUT, target()?.join("live-logs"));
    plan.copies.push(match options.mode {
        Mode::Kill | Mode::Roll => ("api", 1 + kill::COPIES.len()),
        Mode::Slow | Mode::Tokens => ("api", 2),
    });
    let progress = Progress::start();
    let report = in_a_shop("live", &plan, &progress, async |_, programs| {
        scenario_and_report(options, programs, &progress).await
    });
    let report = report.await?;
    report.write(&file)?;
    print!("{}", report.table());
    println!("{}", file.display());
    Ok(report.violations == 0)
}

/// All subscribers may be at one copy at a time.
fn enough_files(subscribers: usize) -> anyhow::Result<()> {
    let needed = u64::try_from(subscribers)? + OTHER_FILES;
    let allowed = getrlimit(Resource::Nofile).current;
    ensure!(
        allowed.is_none_or(|allowed| allowed >= needed),
        "{subscribers} subscribers need {needed} open files, RLIMIT_NOFILE allows {}: raise it (ulimit -n {needed})",
        allowed.unwrap_or_default()
    );
    Ok(())
}

async fn scenario_and_report(
    options: &Options,
    programs: &Programs,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let journal = Journal::default();
    let shop = Shop::new(&programs.api.to_string(), journal.clone())?;
    let run = Run::open(shop, journal, progress).await?;
    let mut report = Report::new(options);
    if let Err(error) = scenario(options, &run, programs, &mut report).await {
        // What was found out before may tell why.
        run.violate(Violation::new(12, "the scenario", format!("{error:#}")));
    }
    let mut violations = run.take_violations();
    for death in programs.deaths() {
        violations.push(Violation::new(12, "a program died by itself", death));
    }
    for surprise in run.journal.clients().surprises {
        violations.push(Violation::new(TOLD, "an answer", surprise));
    }
    violations.sort();
    report.violations = violations.len();
    report.violation_list = violations;
    Ok(report)
}

async fn scenario(
    options: &Options,
    run: &Run,
    programs: &Programs,
    report: &mut Report,
) -> anyhow::Result<()> {
    match options.mode {
        Mode::Kill => report.notes = kill::run(run, programs, options, &mut report.parts).await?,
        Mode::Slow => report.notes = slow::run(run, programs, options, &mut report.rounds).await?,
        Mode::Roll => {
            let found = roll::run(run, programs, options).await?;
            (report.rolls, report.notes) = (found.rolls, found.notes);
            report.told = Some(found.tally);
        }
        Mode::Tokens => {
            let found = tokens::run(run, programs, options).await?;
            (report.goals, report.notes) = (found.goals, found.notes);
            report.told = Some(found.tally);
        }
    }
    Ok(())
}

//! `ops audit`: checks the invariants on a running shop.
//!
//! One pass compares the write side as of one moment with views and topics (`sweep`); what differs and may be on its way is looked at again
//! until it has arrived or stayed wrong (`recheck`). Only what stays wrong is a violation. Reads only, unless `--repair` is said.

mod log;
mod mark;
mod order;
mod read;
mod recheck;
mod repair;
mod stock;
mod sweep;
mod violation;

use std::io::Write;
use std::time::Duration;

use serde_json::json;
use shop_core::views::Views;

pub use log::name as log_name;
pub use mark::{Mark, PROJECTOR};
pub use read::{Documents, states_after};
pub use sweep::Counts;
pub use violation::Violation;

use super::{Desk, OpsError, Progress};

/// Compares tables, topics and views, sums the stock ledger, and prints each broken invariant with ids
#[derive(Debug, Clone, clap::Args)]
pub struct Audit {
    /// Prints one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
    /// Projects documents that are wrong again
    #[arg(long)]
    pub repair: bool,
    /// How many seconds something that differs may be on its way
    #[arg(long, default_value_t = 60)]
    pub patience: u64,
}

/// What an audit found.
#[derive(Debug, Default)]
pub struct Report {
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// What differs and was still on its way when patience ended.
    pub undecided: Vec<Violation>,
    /// What that waits for.
    pub waits_for: Vec<String>,
    /// How much was looked at.
    pub counts: Counts,
    /// How long it took.
    pub took: Duration,
}

impl Audit {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let views = Views::connect(&desk.settings.mongo, "ops").await?;
        let mut report = audit(desk, &views, self.patience(), &Progress::new()).await?;
        let found = report.violations.len();
        if self.repair {
            // What is going to be changed, and then what is left.
            if !self.json {
                self.print(&report)?;
            }
            report.violations = repair::repair(desk, &views, report.violations).await?;
        }
        if self.json || !self.repair || report.violations.len() < found {
            self.print(&report)?;
        }
        report.verdict()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    fn print(&self, report: &Report) -> Result<(), OpsError> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", report.to_json())?;
            return Ok(());
        }
        let mut invariant = 0;
        for violation in &report.violations {
            if violation.invariant != invariant {
                invariant = violation.invariant;
                writeln!(out, "invariant {invariant}, {}:", violation.words())?;
            }
            writeln!(out, "  {}: {}", violation.subject, violation.problem)?;
        }
        if !report.undecided.is_empty() {
            writeln!(out, "undecided, since {}:", report.waits_for.join(", "))?;
            for open in &report.undecided {
                writeln!(out, "  {}: {}", open.subject, open.problem)?;
            }
        }
        let Counts {
            users,
            products,
            orders,
            documents,
            outbox,
            records,
            unreadable,
        } = report.counts;
        writeln!(
            out,
            "{users} users, {products} products, {orders} orders, {documents} documents, {outbox} outbox rows, \
             {records} records ({unreadable} unreadable) in {:.1} s: {} violations, {} undecided",
            report.took.as_secs_f64(),
            report.violations.len(),
            report.undecided.len()
        )?;
        Ok(())
    }
}

impl Report {
    fn verdict(&self) -> Result<(), OpsError> {
        let (broken, open) = (self.violations.len(), self.undecided.len());
        if broken + open == 0 {
            return Ok(());
        }
        Err(OpsError::refused(format!(
            "{broken} violations, {open} undecided"
        )))
    }

    /// All of it.
    pub fn to_json(&self) -> serde_json::Value {
        let list = |violations: &[Violation]| -> Vec<serde_json::Value> {
            let one = |violation: &Violation| {
                json!({
                    "invariant": violation.invariant,
                    "words": violation.words(),
                    "subject": violation.subject,
                    "problem": violation.problem,
                })
            };
            violations.iter().map(one).collect()
        };
        let Counts {
            users,
            products,
            orders,
            documents,
            outbox,
            records,
            unreadable,
        } = self.counts;
        json!({
            "violations": list(&self.violations),
            "undecided": list(&self.undecided),
            "waitsFor": self.waits_for,
            "checked": {
                "users": users, "products": products, "orders": orders, "documents": documents,
                "outboxRows": outbox, "records": records, "unreadableRecords": unreadable,
            },
            "seconds": self.took.as_secs_f64(),
        })
    }
}

/// Checks everything once, and what differs until it is settled.
///
/// # Errors
/// If a server is away.
pub async fn audit(
    desk: &Desk,
    views: &Views,
    patience: Duration,
    progress: &Progress,
) -> Result<Report, OpsError> {
    let found = sweep::sweep(desk, views, progress).await?;
    let settled = recheck::settle(desk, views, found.suspects, patience, progress).await?;
    let mut violations = found.violations;
    violations.extend(settled.violations);
    let mut undecided = settled.undecided;
    for list in [&mut violations, &mut undecided] {
        list.sort();
        list.dedup();
    }
    Ok(Report {
        violations,
        undecided,
        waits_for: settled.waits_for,
        counts: found.counts,
        took: progress.elapsed(),
    })
}

/// Projects the documents of violations again, after asking. Returns the violations that are left.
///
/// # Errors
/// If the operator does not agree, or a server is away.
pub async fn repair(
    desk: &Desk,
    views: &Views,
    violations: Vec<Violation>,
) -> Result<Vec<Violation>, OpsError> {
    repair::repair(desk, views, violations).await
}

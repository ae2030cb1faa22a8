//! Looking at suspects again until each is either as it should be, or has stayed wrong although everything that was on its
//! way when it was last seen to change has arrived.
//!
//! A *mark* is how this is known: first every outbox row up to the newest has to be sent; then every role has to have
//! handled the topics up to their ends. A suspect that was as wrong before the mark was set as it is after that is a
//! violation. One whose versions still move gets a new mark. What is open when patience ends is undecided, and said so; so is what
//! waits behind a record that some consumer could not handle.

mod document;

pub use document::{Compared, documents};

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use shop_core::db::parked::{State, operator};
use shop_core::db::{StoreError, ledger, orders, stock};
use shop_core::domain::OrderId;
use shop_core::events::AggregateType;
use shop_core::views::{Image, View, Views};
use uuid::Uuid;

use self::document::states;
use super::Violation;
use super::log::{Subject, name};
use super::mark::{Mark, ROLES};
use super::order::{Facts, by_order, judge};
use super::sweep::Suspect;
use crate::ops::{Desk, OpsError, Progress};

/// Suspects per look.
const CHUNK: usize = 500;
/// Closed keys that are known of, at most.
const KEYS: usize = 100_000;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A suspect that was still wrong, and how.
struct Open {
    problems: Vec<Violation>,
    /// Since when it is wrong in just this way.
    since: Instant,
}

/// What became of the suspects.
#[derive(Debug, Default)]
pub struct Settled {
    /// What stayed wrong.
    pub violations: Vec<Violation>,
    /// What was still on its way when patience ended, and what it waits for.
    pub undecided: Vec<Violation>,
    /// What is on its way, in words; empty if nothing is undecided.
    pub waits_for: Vec<String>,
}

/// Looks at suspects until they are settled.
pub async fn settle(
    desk: &Desk,
    views: &Views,
    suspects: Vec<Suspect>,
    patience: Duration,
    progress: &Progress,
) -> Result<Settled, OpsError> {
    let begun = Instant::now();
    let mut settled = Settled::default();
    let mut open: HashMap<Suspect, Open> = HashMap::new();
    let all: Vec<Suspect> = suspects
        .into_iter()
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    look(desk, views, &all, &mut open).await?;
    let mut pause = FIRST_PAUSE;
    let mut mark = Mark::set(desk, &ROLES).await?;
    while !open.is_empty() {
        progress.at(|| format!("{} differences may be on their way", open.len()));
        let passed = mark.has_passed(desk).await?;
        let parked = parked(desk).await?; // before the look: what is handled since is not wrong any more
        let suspects: Vec<Suspect> = open.keys().copied().collect();
        look(desk, views, &suspects, &mut open).await?;
        if passed {
            open.retain(|suspect, one| {
                let waits = parked.get(&suspect.id());
                if one.since > mark.set_at || waits == Some(&Parked::Failing) {
                    return true;
                }
                let settled = match waits {
                    None => &mut settled.violations,
                    Some(_) => &mut settled.undecided,
                };
                settled.append(&mut one.problems);
                false
            });
            mark = Mark::set(desk, &ROLES).await?;
        }
        if begun.elapsed() > patience && !open.is_empty() {
            settled.waits_for = mark.waits_for(desk).await?;
            let left = open.drain().flat_map(|(_, one)| one.problems);
            settled.undecided.extend(left);
        }
        if !parked.is_empty() && !settled.undecided.is_empty() {
            let count = parked.len();
            settled.waits_for.retain(|line| !line.contains("ops dlq"));
            settled
                .waits_for
                .push(format!("{count} keys are closed (ops dlq list)"));
        }
        if passed {
            continue;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(settled)
}

/// What becomes of a key that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parked {
    /// It is tried again.
    Failing,
    /// It waits for an operator.
    Dead,
}

/// The aggregates whose events some consumer could not handle yet.
async fn parked(desk: &Desk) -> Result<HashMap<Uuid, Parked>, OpsError> {
    let keys = desk
        .db
        .transaction("audit", async |tx| {
            operator::keys(tx, &operator::Filter::default(), KEYS).await
        })
        .await?;
    let mut parked = HashMap::new();
    for one in keys {
        let key = one.key.and_then(|key| String::from_utf8(key).ok());
        let Some(id) = key.and_then(|key| Uuid::try_parse(&key).ok()) else {
            continue;
        };
        let state = match one.state {
            State::Dead => Parked::Dead,
            State::Failing | State::Behind => Parked::Failing,
        };
        // Closed for two consumers: the one that waits for an operator decides.
        if parked.get(&id) != Some(&Parked::Dead) {
            parked.insert(id, state);
        }
    }
    Ok(parked)
}

/// Looks at suspects: those that are as they should be leave, the others are noted.
async fn look(
    desk: &Desk,
    views: &Views,
    suspects: &[Suspect],
    open: &mut HashMap<Suspect, Open>,
) -> Result<(), OpsError> {
    let mut problems: HashMap<Suspect, Vec<Violation>> = HashMap::new();
    for view in View::ALL {
        let ids = pick(suspects, |suspect| match suspect {
            Suspect::Document(of, id) if *of == view => Some(*id),
            _ => None,
        });
        for chunk in ids.chunks(CHUNK) {
            for found in documents(desk, views, view, chunk).await? {
                if let Some(problem) = found.problem() {
                    let suspect = Suspect::Document(view, found.id);
                    problems.entry(suspect).or_default().push(problem);
                }
            }
        }
    }
    let ids = pick(suspects, |suspect| match suspect {
        Suspect::Order(id) => Some(*id),
        _ => None,
    });
    for chunk in ids.chunks(CHUNK) {
        for (id, problem) in waiting_orders(desk, chunk).await? {
            let found = problems.entry(Suspect::Order(id)).or_default();
            found.push(problem);
        }
    }
    let ahead = pick(suspects, |suspect| match suspect {
        Suspect::Ahead(subject, version) => Some((*subject, *version)),
        _ => None,
    });
    for chunk in ahead.chunks(CHUNK) {
        for ((subject, version), problem) in still_ahead(desk, chunk).await? {
            let found = problems
                .entry(Suspect::Ahead(subject, version))
                .or_default();
            found.push(problem);
        }
    }
    let now = Instant::now();
    for suspect in suspects {
        let Some(problems) = problems.remove(suspect) else {
            open.remove(suspect);
            continue;
        };
        match open.get_mut(suspect) {
            Some(known) if known.problems == problems => {}
            _ => {
                let since = now;
                open.insert(*suspect, Open { problems, since });
            }
        }
    }
    Ok(())
}

fn pick<T>(suspects: &[Suspect], wanted: impl Fn(&Suspect) -> Option<T>) -> Vec<T> {
    suspects.iter().filter_map(wanted).collect()
}

async fn waiting_orders(
    desk: &Desk,
    ids: &[OrderId],
) -> Result<Vec<(OrderId, Violation)>, OpsError> {
    let (orders, holds, movements) = desk
        .db
        .transaction("audit", async |tx| {
            let orders = orders::any(tx, ids).await?;
            let holds = stock::holds(tx, ids).await?;
            let movements = ledger::of_orders(tx, ids).await?;
            Ok::<_, StoreError>((orders, holds, movements))
        })
        .await?;
    let movements = by_order(movements);
    let holds: HashMap<OrderId, _> = holds.iter().map(|hold| (hold.order_id, hold)).collect();
    let mut problems = Vec::new();
    for order in &orders {
        let facts = Facts {
            order: Some(order),
            hold: holds.get(&order.id).copied(),
            movements: movements.get(&order.id).map_or(&[], Vec::as_slice),
        };
        for finding in judge(&facts) {
            let problem = format!("at version {} {}", order.version, finding.problem);
            let violation = Violation::new(finding.invariant, order.id, problem);
            problems.push((order.id, violation));
        }
    }
    Ok(problems)
}

async fn still_ahead(
    desk: &Desk,
    ahead: &[(Subject, u32)],
) -> Result<Vec<((Subject, u32), Violation)>, OpsError> {
    let mut versions: HashMap<Subject, u32> = HashMap::new();
    for (view, kind) in [
        (View::Users, AggregateType::User),
        (View::Products, AggregateType::Product),
        (View::StockLevels, AggregateType::StockLevel),
        (View::Orders, AggregateType::Order),
    ] {
        let ids: Vec<Uuid> = of_kind(ahead, kind);
        if ids.is_empty() {
            continue;
        }
        for state in states(desk, view, &ids).await? {
            if let Some((_, image)) = Image::of(&state)? {
                let version = u32::try_from(image.version().unwrap_or_default());
                versions.insert((kind, image.id()), version.unwrap_or_default());
            }
        }
    }
    let ids: Vec<OrderId> = of_kind(ahead, AggregateType::Stock)
        .into_iter()
        .map(OrderId::from_uuid)
        .collect();
    if !ids.is_empty() {
        let holds = desk
            .db
            .transaction("audit", async |tx| stock::holds(tx, &ids).await)
            .await?;
        for hold in holds {
            versions.insert((AggregateType::Stock, hold.order_id.uuid()), hold.version);
        }
    }
    let problems = ahead.iter().filter_map(|(subject, version)| {
        let row = versions.get(subject).copied().unwrap_or_default();
        let topic = subject.0.topic();
        let problem = format!("topic {topic} has version {version}, the row only {row}");
        (row < *version).then(|| {
            (
                (*subject, *version),
                Violation::new(1, name(*subject), problem),
            )
        })
    });
    Ok(problems.collect())
}

fn of_kind(ahead: &[(Subject, u32)], kind: AggregateType) -> Vec<Uuid> {
    ahead
        .iter()
        .filter(|((of, _), _)| *of == kind)
        .map(|((_, id), _)| *id)
        .collect()
}

//! One pass over everything: the write side as of one moment, beside the views and the topics as they are.
//!
//! What breaks a rule within the snapshot is a violation, for the rules hold at every commit. What differs between the
//! snapshot and the rest is a suspect: it may be on its way.

use std::collections::{BTreeSet, HashMap};

use shop_core::bus::{self, Extents, Observer};
use shop_core::db::{Snapshot, StoreError, ledger, orders, outbox_again, stock};
use shop_core::domain::stock::{Hold, Movement};
use shop_core::domain::{Order, OrderId};
use shop_core::events::{AggregateType, Payload, Topic};
use shop_core::runtime::clock;
use shop_core::views::{Image, View, Views};
use uuid::Uuid;

use super::log::{Announced, Log, Row, Subject};
use super::order::{Facts, by_order, judge};
use super::read::{Documents, states_after};
use super::{Violation, stock as stock_rules};
use crate::ops::{Desk, OpsError, Progress};

/// Rows per page.
const PAGE_ROWS: i64 = 2_000;
/// The topics that the relay writes.
pub const TOPICS: [Topic; 5] = [
    Topic::Users,
    Topic::Products,
    Topic::Orders,
    Topic::Stock,
    Topic::StockLevels,
];

/// Something that differs, and may be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suspect {
    /// A document that is not what the write side said.
    Document(View, Uuid),
    /// An order that waits for a program.
    Order(OrderId),
    /// An aggregate of which the topic had more than the row.
    Ahead(Subject, u32),
}

impl Suspect {
    /// The aggregate's id, which is its events' key.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Document(_, id) | Self::Ahead((_, id), _) => *id,
            Self::Order(id) => id.uuid(),
        }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Products.
    pub products: u64,
    /// Orders.
    pub orders: u64,
    /// Documents of views.
    pub documents: u64,
    /// Rows of the outbox.
    pub outbox: u64,
    /// Records in topics.
    pub records: u64,
    /// Records in topics that can not be read.
    pub unreadable: u64,
}

/// What a pass found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is broken.
    pub violations: Vec<Violation>,
    /// What is to be looked at again.
    pub suspects: Vec<Suspect>,
    /// How much was looked at.
    pub counts: Counts,
}

/// Looks at everything once.
pub async fn sweep(desk: &Desk, views: &Views, progress: &Progress) -> Result<Found, OpsError> {
    let snapshot = Snapshot::open(&desk.settings.mysql).await?;
    // After the snapshot: what it shows as sent is before these ends.
    let extents = Observer::new(&desk.settings.kafka, "ops")?
        .extents(&TOPICS)
        .await?;
    let views = views.at(views.served().await?.generation);
    let mut pass = Pass {
        snapshot,
        found: Found::default(),
        rows: HashMap::new(),
    };
    let log = read_log(desk, &extents);
    let tables = async {
        pass.ledger().await?;
        for view in View::ALL {
            pass.view(&views, view, progress).await?;
        }
        pass.holds_of_no_order().await?;
        Ok(())
    };
    let (log, ()) = tokio::try_join!(log, tables)?;
    progress.at(|| "outbox".to_owned());
    pass.outbox(&log).await?;
    Ok(pass.found)
}

async fn read_log(desk: &Desk, extents: &Extents) -> Result<Log, OpsError> {
    let log = Log::new(extents);
    Ok(bus::scan(&desk.settings.kafka, extents, log, |log, trace| {
        log.take(&trace);
    })
    .await?)
}

struct Pass {
    snapshot: Snapshot,
    found: Found,
    rows: HashMap<Subject, Row>,
}

/// A page of one table, with what belongs to it.
struct Page {
    states: Vec<Payload>,
    holds: Vec<Hold>,
    movements: Vec<Movement>,
}

impl Pass {
    async fn ledger(&mut self) -> Result<(), OpsError> {
        let mut sums = self
            .snapshot
            .read(async |conn| ledger::sums(conn).await)
            .await?;
        let mut after = None;
        loop {
            let levels = self
                .snapshot
                .read(async move |conn| stock::levels_after(conn, after, PAGE_ROWS).await)
                .await?;
            let Some(last) = levels.last() else { break };
            after = Some(last.product_id);
            stock_rules::judge(&levels, &mut sums, &mut self.found.violations);
        }
        stock_rules::judge_rest(sums, &mut self.found.violations);
        Ok(())
    }

    /// One table beside its view, both by id.
    async fn view(
        &mut self,
        views: &Views,
        view: View,
        progress: &Progress,
    ) -> Result<(), OpsError> {
        let mut documents = Documents::new(views, view);
        let mut after = None;
        loop {
            let (page, ()) = tokio::join!(page(&mut self.snapshot, view, after), async {
                // Read ahead; an error comes again when the page is needed.
                let _ = documents.fill().await;
            });
            let page = page?;
            for state in &page.states {
                self.count(view, state);
                let Some((_, image)) = Image::of(state)? else {
                    continue;
                };
                let id = image.id();
                documents.before(id, &mut self.found.suspects).await?;
                let found = documents.take(id).await?;
                if found.is_none_or(|found| !image.differences(&found).is_empty()) {
                    self.found.suspects.push(Suspect::Document(view, id));
                }
                after = Some(id);
            }
            if view == View::Orders {
                self.orders(&page);
            }
            progress.at(|| {
                let Counts {
                    users,
                    products,
                    orders,
                    ..
                } = self.found.counts;
                format!("{users} users, {products} products, {orders} orders")
            });
            if page.states.is_empty() {
                break;
            }
        }
        documents.rest(&mut self.found.suspects).await?;
        self.found.counts.documents += documents.count;
        Ok(())
    }

    fn count(&mut self, view: View, state: &Payload) {
        let counts = &mut self.found.counts;
        let (kind, id, version, created) = match state {
            Payload::User(user) => (
                AggregateType::User,
                user.id.uuid(),
                user.version,
                Some(user.created_at),
            ),
            Payload::Product(product) => (
                AggregateType::Product,
                product.id.uuid(),
                product.version,
                Some(product.created_at),
            ),
            Payload::StockLevel(level) => (
                AggregateType::StockLevel,
                level.product_id.uuid(),
                level.version,
                None,
            ),
            Payload::Order(order) => (
                AggregateType::Order,
                order.id.uuid(),
                order.version,
                Some(order.created_at),
            ),
            Payload::Stock(_) => return,
        };
        match view {
            View::Users => counts.users += 1,
            View::Products => counts.products += 1,
            View::Orders => counts.orders += 1,
            View::StockLevels => {}
        }
        self.rows.insert((kind, id), Row { version, created });
    }

    /// The rules of the orders of a page.
    fn orders(&mut self, page: &Page) {
        for hold in &page.holds {
            let row = Row {
                version: hold.version,
                created: None,
            };
            self.rows
                .insert((AggregateType::Stock, hold.order_id.uuid()), row);
        }
        let orders: HashMap<OrderId, &Order> = page
            .states
            .iter()
            .filter_map(|state| match state {
                Payload::Order(order) => Some((order.id, order.as_ref())),
                _ => None,
            })
            .collect();
        let holds: HashMap<OrderId, &Hold> = page
            .holds
            .iter()
            .map(|hold| (hold.order_id, hold))
            .collect();
        let movements = by_order(page.movements.clone());
        let ids: BTreeSet<OrderId> = orders
            .keys()
            .chain(holds.keys())
            .chain(movements.keys())
            .copied()
            .collect();
        for id in ids {
            let facts = Facts {
                order: orders.get(&id).copied(),
                hold: holds.get(&id).copied(),
                movements: movements.get(&id).map_or(&[], Vec::as_slice),
            };
            let mut may_pass = false;
            for finding in judge(&facts) {
                if finding.may_pass {
                    may_pass = true;
                } else {
                    let violation = Violation::new(finding.invariant, id, finding.problem);
                    self.found.violations.push(violation);
                }
            }
            if may_pass {
                self.found.suspects.push(Suspect::Order(id));
            }
        }
    }

    /// Holds and movements after the last order.
    async fn holds_of_no_order(&mut self) -> Result<(), OpsError> {
        let last = self
            .rows
            .keys()
            .filter(|(kind, _)| *kind == AggregateType::Order)
            .map(|(_, id)| OrderId::from_uuid(*id))
            .max();
        let (holds, movements) = self
            .snapshot
            .read(async move |conn| {
                let holds = stock::holds_within(conn, (last, None)).await?;
                let movements = ledger::of_orders_within(conn, (last, None)).await?;
                Ok((holds, movements))
            })
            .await?;
        self.orders(&Page {
            states: Vec::new(),
            holds,
            movements,
        });
        Ok(())
    }

    async fn outbox(&mut self, log: &Log) -> Result<(), OpsError> {
        let mut announced = Announced::new(log, &self.rows, clock::now());
        let mut after = 0;
        loop {
            let entries = self
                .snapshot
                .read(async move |conn| outbox_again::after(conn, after, 5 * PAGE_ROWS).await)
                .await?;
            let Some(last) = entries.last() else { break };
            after = last.seq;
            for entry in &entries {
                announced.take(entry);
            }
        }
        let ahead = announced.close();
        self.found.violations.append(&mut announced.violations);
        self.found.counts.outbox = announced.entries;
        self.found.counts.records = log.records;
        self.found.counts.unreadable = log.unreadable;
        let suspects = ahead.into_iter().filter_map(|subject| {
            let newest = log.newest(subject)?;
            Some(Suspect::Ahead(subject, newest))
        });
        self.found.suspects.extend(suspects);
        Ok(())
    }
}

async fn page(
    snapshot: &mut Snapshot,
    view: View,
    after: Option<Uuid>,
) -> Result<Page, StoreError> {
    let mut page = Page {
        states: Vec::new(),
        holds: Vec::new(),
        movements: Vec::new(),
    };
    match view {
        View::Users | View::Products | View::StockLevels => {
            page.states = snapshot
                .read(async move |conn| states_after(conn, view, after, PAGE_ROWS).await)
                .await?;
        }
        View::Orders => {
            let after = after.map(OrderId::from_uuid);
            let (orders, holds, movements) = snapshot
                .read(async move |conn| {
                    let orders = orders::after(conn, after, PAGE_ROWS).await?;
                    let Some(last) = orders.last() else {
                        return Ok((orders, Vec::new(), Vec::new()));
                    };
                    let range = (after, Some(last.id));
                    let holds = stock::holds_within(conn, range).await?;
                    let movements = ledger::of_orders_within(conn, range).await?;
                    Ok((orders, holds, movements))
                })
                .await?;
            page.states = orders
                .into_iter()
                .map(|order| Payload::Order(Box::new(order)))
                .collect();
            (page.holds, page.movements) = (holds, movements);
        }
    }
    Ok(page)
}

//! Many subscribers, one task each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::board::{Board, Topic};
use super::pass::Pass;
use super::subscriber::{Doors, Manner, Subscriber};
use crate::client::Token;

/// How many connect at once at first; those that come back are not held up.
const AT_ONCE: usize = 50;
/// How long it may take until everybody has a first item.
const BEGIN_BOUND: Duration = Duration::from_mins(2);
/// Of so many orders, one has subscribers that rest where a scenario lets them.
pub const RESTS_EVERY: usize = 4;

/// Subscribers. All of them leave when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    /// What they were told.
    pub board: Board,
    doors: Doors,
    manner: Manner,
    gate: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(doors: &Doors, manner: Manner) -> Self {
        Self {
            board: Board::new(),
            doors: doors.clone(),
            manner,
            gate: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: JoinSet::new(),
        }
    }

    /// Some that follow every order, as staff.
    pub fn follow(&mut self, followers: usize, staff: &Token) {
        for number in 0..followers {
            let pass = Pass::Lasting(staff.clone());
            self.enter(Topic::Feed, pass, number, number);
        }
    }

    /// So many for these orders, as evenly as it goes: those of one order are at different copies. Each shows what its order's
    /// buyer has to show.
    ///
    /// # Errors
    /// If it has nothing to show.
    pub fn watch(
        &mut self,
        subscribers: usize,
        orders: &[Uuid],
        pass: impl Fn(Uuid) -> anyhow::Result<Pass>,
    ) -> anyhow::Result<()> {
        for number in 0..subscribers {
            let order = number * orders.len() / subscribers;
            if let Some(id) = orders.get(order) {
                self.enter(Topic::Order(*id), pass(*id)?, number, order);
            }
        }
        Ok(())
    }

    /// One more for an order.
    pub fn join(&mut self, order: Uuid, pass: Pass) {
        let number = self.tasks.len();
        self.enter(Topic::Order(order), pass, number, number);
    }

    fn enter(&mut self, topic: Topic, pass: Pass, number: usize, group: usize) {
        let mut manner = self.manner;
        manner.rest = manner.rest.filter(|_| group.is_multiple_of(RESTS_EVERY));
        let subscriber = Subscriber {
            number: self.board.enter(topic),
            topic,
            pass,
            first: number % self.doors.len(),
            manner,
            doors: self.doors.clone(),
            board: self.board.clone(),
        };
        self.tasks.spawn(subscriber.run(self.gate.clone()));
    }

    /// Waits until everybody has a first item.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn begun(&self) -> anyhow::Result<()> {
        let what = "a first item for every subscriber";
        let begun = self.board.until_each(BEGIN_BOUND, what, |told| told.begun);
        begun.await
    }

    /// Waits until everybody who watches an order was told at least this version of it.
    ///
    /// # Errors
    /// If that takes longer than the bound.
    pub async fn reached(&self, version: u32, bound: Duration) -> anyhow::Result<()> {
        let what = format!("version {version} for every subscriber");
        let reached =
            |told: &super::board::Told| told.topic == Topic::Feed || told.newest() >= version;
        self.board.until_each(bound, &what, reached).await
    }
}

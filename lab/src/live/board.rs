//! What every subscriber was told, in one place; whoever waits for something looks here whenever there is news.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::sync::watch;
use uuid::Uuid;

/// What somebody subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The status of one order.
    Order(Uuid),
    /// Every order.
    Feed,
}

/// Why an item was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is the beginning of a stream.
    Beginning,
    /// It was missed, and is told after the event.
    Missed,
    /// It has just happened.
    Live,
    /// The stream could not go on from its cursor.
    Resync,
}

/// A version of an order that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which order.
    pub order: Uuid,
    /// Which version of it.
    pub version: u32,
    /// Its status, as the item says.
    pub status: String,
    /// Why it was told.
    pub why: Why,
    /// When it came.
    pub at: Instant,
    /// From the change to its arrival here, in milliseconds.
    pub delay_ms: i64,
}

/// One subscriber's side of the story.
#[derive(Debug)]
pub struct Told {
    /// What it subscribed to.
    pub topic: Topic,
    /// Whether its first stream has begun.
    pub begun: bool,
    /// Which copy it is connected to.
    pub at_copy: Option<usize>,
    /// All that it was told, over all of its connections.
    pub items: Vec<Item>,
}

impl Told {
    /// The newest version that it was told.
    pub fn newest(&self) -> u32 {
        let versions = self.items.iter().map(|item| item.version);
        versions.max().unwrap_or_default()
    }
}

/// The end of a connection that was not the client's wish.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Whose it was, by its number.
    pub subscriber: usize,
    /// Which copy it was to.
    pub copy: usize,
    /// When.
    pub at: Instant,
    /// The close code, if the server said goodbye.
    pub code: Option<u16>,
}

/// What is on the board.
#[derive(Debug, Default)]
pub struct Pages {
    /// What every subscriber was told, by its number.
    pub told: Vec<Told>,
    /// Every ending.
    pub endings: Vec<Ending>,
    /// How often a copy could not be reached, or asked to come back later.
    pub failed_tries: usize,
    /// Tokens that were shown over open connections.
    pub renewals: usize,
    /// What no subscriber should have met.
    pub problems: Vec<String>,
}

/// Written by all subscribers of a scene. A copy is the same board.
#[derive(Debug, Clone)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pages: Mutex<Pages>,
    news: watch::Sender<()>,
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            pages: Mutex::default(),
            news: watch::Sender::new(()),
        }))
    }

    /// Takes a subscriber on; its number.
    pub fn enter(&self, topic: Topic) -> usize {
        let mut pages = self.read();
        pages.told.push(Told {
            topic,
            begun: false,
            at_copy: None,
            items: Vec::new(),
        });
        pages.told.len() - 1
    }

    /// Notes that a subscriber is connected, or is not any more.
    pub fn place(&self, number: usize, copy: Option<usize>) {
        self.change(|pages| {
            if let Some(told) = pages.told.get_mut(number) {
                told.at_copy = copy;
            }
        });
    }

    /// Notes what a subscriber was told; the beginning of a feed tells of no order.
    pub fn tell(&self, number: usize, item: Option<Item>) {
        self.change(|pages| {
            if let Some(told) = pages.told.get_mut(number) {
                told.begun = true;
                told.items.extend(item);
            }
        });
    }

    /// Notes that a connection is over.
    pub fn lose(&self, ending: Ending) {
        self.place(ending.subscriber, None);
        self.change(|pages| pages.endings.push(ending));
    }

    /// Notes a try that led to no connection.
    pub fn fail(&self) {
        self.change(|pages| pages.failed_tries += 1);
    }

    /// Notes a token that was shown over an open connection.
    pub fn renew(&self) {
        self.change(|pages| pages.renewals += 1);
    }

    /// Notes what no subscriber should meet.
    pub fn wonder(&self, problem: String) {
        self.change(|pages| pages.problems.push(problem));
    }

    /// What is on it now. Subscribers wait meanwhile.
    pub fn read(&self) -> MutexGuard<'_, Pages> {
        // A panic elsewhere leaves lists that are still lists.
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Pages)) {
        change(&mut self.read());
        self.0.news.send_replace(());
    }

    /// Waits until something holds, with a bound.
    ///
    /// # Errors
    /// If the bound passes; the message names what was waited for.
    pub async fn until(
        &self,
        bound: Duration,
        what: &str,
        holds: impl Fn(&Pages) -> bool,
    ) -> anyhow::Result<()> {
        let mut news = self.0.news.subscribe();
        let shown = || holds(&self.read());
        let waiting = async {
            // The board keeps the sender: there is always more to come.
            while !shown() && news.changed().await.is_ok() {}
        };
        if tokio::time::timeout(bound, waiting).await.is_err() {
            bail!("not within {bound:?}: {what}");
        }
        Ok(())
    }

    /// The same for something that must hold for each subscriber.
    ///
    /// # Errors
    /// If the bound passes; the message says for how many it does not hold.
    pub async fn until_each(
        &self,
        bound: Duration,
        what: &str,
        holds: impl Fn(&Told) -> bool,
    ) -> anyhow::Result<()> {
        let all = |pages: &Pages| pages.told.iter().all(&holds);
        let waited = self.until(bound, what, all).await;
        waited.map_err(|error| {
            let late = self.read().told.iter().filter(|told| !holds(told)).count();
            error.context(format!("{late} subscribers are not there"))
        })
    }
}

//! One follower of many orders: what it missed first, then what happens.
//!
//! It registers at the hub first and then reads the topic up to the place where its mailbox begins, so nothing falls between.
//! Whoever does not keep up reads the topic again from where it stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shop_core::domain::{Order, Timestamp};
use shop_core::views::OrderFilter;
use tokio::time::{Instant, timeout_at};

use super::hub::{Mail, Mailbox, Update, Updates};
use super::log::{Found, Missed, StatusLog};
use crate::graphql::error::ApiError;
use crate::live::Kind;
use crate::live::cursor::{Known, TopicPlace};

/// How long a topic that is not being read is waited for.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// A follower; its place at the hub is given up when it is dropped.
pub struct Follower {
    mailbox: Mailbox,
    filter: OrderFilter,
    log: StatusLog,
    stands: Stands,
    ready: VecDeque<Item>,
    ended: bool,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Why.
    pub kind: Kind,
    /// Where it stands then.
    pub place: Arc<TopicPlace>,
    /// The update, unless the stream begins or has lost its place.
    pub order: Option<Arc<Order>>,
    /// If it has lost its place: since when something may be missing.
    pub since: Option<Timestamp>,
}

/// Where a follower stands.
enum Stands {
    /// It begins.
    Nowhere,
    /// It came with a cursor that can not be read.
    Unknown,
    /// It was told everything before this place, and its mailbox has what comes after another.
    Behind(Arc<TopicPlace>),
    /// It was told everything before what its mailbox has.
    Here(Arc<TopicPlace>),
}

impl Item {
    const fn resync(place: Arc<TopicPlace>, since: Option<Timestamp>) -> Self {
        Self {
            kind: Kind::Resync,
            place,
            order: None,
            since,
        }
    }

    fn update(kind: Kind, update: Update) -> Self {
        Self {
            kind,
            place: update.place,
            order: Some(update.order),
            since: None,
        }
    }
}

impl Follower {
    /// Registers at the hub.
    pub fn new(
        hub: &Updates,
        log: StatusLog,
        filter: OrderFilter,
        after: Option<Known<TopicPlace>>,
    ) -> Self {
        let stands = match after {
            None => Stands::Nowhere,
            Some(Known::OtherLayout) => Stands::Unknown,
            Some(Known::Place(place)) => Stands::Behind(Arc::new(place)),
        };
        Self {
            mailbox: hub.follow(filter.clone()),
            filter,
            log,
            stands,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next item; waits for it. `None` after an error.
    pub async fn next(&mut self) -> Option<Result<Item, ApiError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.step().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    async fn step(&mut self) -> Result<(), ApiError> {
        if let Stands::Here(place) = &self.stands {
            let place = Arc::clone(place);
            self.stands = match self.mailbox.next().await {
                Mail::Update(update) => {
                    let here = Stands::Here(Arc::clone(&update.place));
                    self.ready.push_back(Item::update(Kind::Live, update));
                    here
                }
                Mail::Behind => {
                    self.mailbox = self.mailbox.anew();
                    Stands::Behind(place)
                }
            };
            return Ok(());
        }
        let start = self.start().await?;
        match &self.stands {
            Stands::Behind(place) => {
                let place = Arc::clone(place);
                return self.catch_up(&place, start).await;
            }
            Stands::Nowhere => self.ready.push_back(Item {
                kind: Kind::Begin,
                ..Item::resync(Arc::clone(&start), None)
            }),
            Stands::Unknown | Stands::Here(_) => {
                self.ready.push_back(Item::resync(Arc::clone(&start), None));
            }
        }
        self.stands = Stands::Here(start);
        Ok(())
    }

    /// Where the mailbox begins; a topic that is not read yet is waited for.
    async fn start(&mut self) -> Result<Arc<TopicPlace>, ApiError> {
        let deadline = Instant::now() + OPENS_WITHIN;
        loop {
            if let Some(start) = self.mailbox.start() {
                return Ok(Arc::clone(start));
            }
            // The hub says so when the topic is read.
            if timeout_at(deadline, self.mailbox.next()).await.is_err() {
                let cause = anyhow::anyhow!("the topic of statuses is not being read");
                return Err(ApiError::unavailable(cause));
            }
            self.mailbox = self.mailbox.anew();
        }
    }

    /// Reads what lies between, or a part of it.
    async fn catch_up(
        &mut self,
        place: &TopicPlace,
        start: Arc<TopicPlace>,
    ) -> Result<(), ApiError> {
        let Missed::Read(stretch) = self.log.read(place, &start, &self.filter).await? else {
            let since = Some(place.at);
            self.ready
                .push_back(Item::resync(Arc::clone(&start), since));
            self.stands = Stands::Here(start);
            return Ok(());
        };
        for found in stretch.found {
            self.ready.push_back(match found {
                Found::Update(update) => Item::update(Kind::Missed, update),
                Found::Unreadable(place) => {
                    let since = Some(place.at);
                    Item::resync(place, since)
                }
            });
        }
        let end = Arc::new(stretch.end);
        self.stands = if stretch.is_whole {
            Stands::Here(end)
        } else {
            Stands::Behind(end)
        };
        Ok(())
    }
}

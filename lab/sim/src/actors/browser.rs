//! The API's live side: the reader of statuses, the hub, and browsers that watch orders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use shop_api::graphql::error::ApiError;
use shop_api::live::{Hub, Watch};
use shop_core::domain::{OrderId, Scope};
use shop_core::events::{Event, Payload, Topic};

use crate::fault::Fault;
use crate::plant::Plant;
use crate::shop::Shop;
use crate::shop::kafka::{PARTITIONS, Partition};
use crate::shop::views::{Reader, state};

/// One process of the API, as far as it is live.
pub struct Live {
    hub: Hub,
    positions: BTreeMap<Partition, i64>,
    browsers: Vec<Browser>,
    most_browsers: usize,
}

/// A browser that watches one order.
struct Browser {
    order_id: OrderId,
    screen: Arc<Mutex<Screen>>,
    stream: Option<BoxFuture<'static, ()>>,
}

/// What a browser has been told on its present stream.
#[derive(Debug, Default)]
struct Screen {
    told: Vec<u32>,
    #[expect(
        clippy::option_option,
        reason = "whether it ended, and with which error"
    )]
    ended: Option<Option<ApiError>>,
}

impl Live {
    /// A process that has begun.
    pub fn new(shop: &mut Shop) -> Self {
        let mut live = Self {
            hub: Hub::new(),
            positions: BTreeMap::new(),
            browsers: Vec::new(),
            most_browsers: shop.rng.usize(1..5),
        };
        live.begin_at_the_ends(shop);
        live
    }

    fn begin_at_the_ends(&mut self, shop: &Shop) {
        for partition in 0..PARTITIONS {
            let partition = (Topic::OrderStatus, partition);
            let end = shop.kafka.end_of_statuses(partition);
            self.positions.insert(partition, end);
        }
        if !shop.planted(Plant::NoResync) {
            self.hub.resync();
        }
    }

    /// The process dies and starts again; browsers come back by themselves.
    pub fn crash(&mut self, shop: &mut Shop) -> bool {
        shop.note(|| "api crashes".to_owned());
        self.hub = Hub::new();
        self.begin_at_the_ends(shop);
        for browser in &mut self.browsers {
            browser.connect(shop, &self.hub);
        }
        true
    }

    /// The reader of statuses begins anew.
    pub fn reopen(&mut self, shop: &mut Shop) {
        shop.note(|| "api reads statuses anew from the end".to_owned());
        self.begin_at_the_ends(shop);
    }

    /// A record is read, or a browser does something.
    pub fn step(&mut self, shop: &mut Shop) -> bool {
        match shop.rng.u8(..4) {
            0 | 1 => self.read(shop),
            2 if self.browsers.len() < self.most_browsers => self.visit(shop),
            _ => {
                let count = self.browsers.len();
                if count == 0 {
                    return false;
                }
                let chosen = shop.rng.usize(..count);
                let browser = &mut self.browsers[chosen];
                if shop.strikes(Fault::Reconnect, 12) {
                    browser.connect(shop, &self.hub);
                    return true;
                }
                browser.look(shop, &self.hub)
            }
        }
    }

    /// A few records are read, and every browser is served once.
    pub fn drain(&mut self, shop: &mut Shop) -> bool {
        let mut did = false;
        for _ in 0..shop.rng.usize(1..4) {
            did |= self.read(shop);
        }
        for browser in &mut self.browsers {
            did |= browser.look(shop, &self.hub);
        }
        did
    }

    /// One browser comes, or goes and comes back.
    pub fn come_and_go(&mut self, shop: &mut Shop) {
        if self.browsers.len() < self.most_browsers && self.visit(shop) {
            return;
        }
        if !self.browsers.is_empty() {
            let chosen = shop.rng.usize(..self.browsers.len());
            self.browsers[chosen].connect(shop, &self.hub);
        }
    }

    fn read(&mut self, shop: &mut Shop) -> bool {
        let first = shop.rng.i32(0..PARTITIONS);
        for partition in (first..PARTITIONS).chain(0..first) {
            let partition = (Topic::OrderStatus, partition);
            let position = self.positions.entry(partition).or_default();
            let Some(record) = shop.kafka.status(partition, *position) else {
                continue;
            };
            *position += 1;
            let header_of = |name: &str| {
                let header = record.headers.iter().find(|(key, _)| *key == name);
                header.map(|(_, value)| value.as_str())
            };
            match Event::decode(partition.0, header_of, &record.value) {
                Ok(Event {
                    payload: Payload::Order(order),
                    ..
                }) => {
                    shop.note(|| format!("api reads {} version {}", order.id, order.version));
                    self.hub.publish(&Arc::from(order));
                }
                other => shop.violated("a status is an order's state", format!("{other:?}")),
            }
            return true;
        }
        false
    }

    fn visit(&mut self, shop: &mut Shop) -> bool {
        let count = shop.mysql.orders.len();
        if count == 0 {
            return false;
        }
        let chosen = shop.rng.usize(..count);
        let Some((order_id, order)) = shop.mysql.orders.iter().nth(chosen) else {
            return false;
        };
        if order.deleted {
            return false;
        }
        let mut browser = Browser {
            order_id: *order_id,
            screen: Arc::default(),
            stream: None,
        };
        browser.connect(shop, &self.hub);
        self.browsers.push(browser);
        true
    }

    /// What every browser must have been told once all is quiet.
    pub fn check(&self, shop: &mut Shop) {
        for browser in &self.browsers {
            let Some(order) = shop.mysql.orders.get(&browser.order_id) else {
                continue;
            };
            let (version, deleted) = (order.version, order.deleted);
            let screen = browser.screen();
            if !deleted && screen.told.last() != Some(&version) {
                let what = format!(
                    "{} is version {version}, its browser was told {:?}",
                    browser.order_id, screen.told
                );
                drop(screen);
                shop.violated("a subscriber reaches the last version", what);
            }
        }
    }
}

impl Browser {
    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes, anew if it was before.
    fn connect(&mut self, shop: &mut Shop, hub: &Hub) {
        shop.note(|| format!("a browser subscribes to {}", self.order_id));
        self.screen = Arc::default();
        let first = shop.planted(Plant::ReadFirst).then(|| {
            let views = shop.views.open();
            views.orders.get(&self.order_id).map(state)
        });
        let reader = Reader::new(&shop.views, first.clone());
        let (screen, hub, order_id) = (Arc::clone(&self.screen), hub.clone(), self.order_id);
        // What is planted registers with its first step, the others now.
        let mut watch = first
            .is_none()
            .then(|| Watch::new(&hub, reader, Scope::Everything, order_id, None));
        let views = shop.views.clone();
        self.stream = Some(Box::pin(async move {
            let begin = || {
                let reader = Reader::new(&views, first);
                Watch::new(&hub, reader, Scope::Everything, order_id, None)
            };
            let mut watch = watch.take().unwrap_or_else(begin);
            let put = |told: Option<Result<u32, ApiError>>| {
                let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                match told {
                    Some(Ok(version)) => screen.told.push(version),
                    Some(Err(error)) => screen.ended = Some(Some(error)),
                    None if screen.ended.is_none() => screen.ended = Some(None),
                    None => {}
                }
            };
            while let Some(item) = watch.next().await {
                put(Some(item.map(|change| change.order.version)));
            }
            put(None);
        }));
    }

    /// Takes what has come. A stream that ended because the view was not there, or not there yet, is begun again.
    fn look(&mut self, shop: &mut Shop, hub: &Hub) -> bool {
        let before = self.screen().told.len();
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let ended = matches!(
            stream
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(())
        );
        let (told, error) = {
            let mut screen = self.screen();
            (screen.told.clone(), screen.ended.take())
        };
        if told.len() > before {
            shop.note(|| format!("a browser was told {} {told:?}", self.order_id));
        }
        if told.windows(2).any(|pair| pair[1] != pair[0] + 1) {
            let what = format!("{} {told:?}", self.order_id);
            shop.violated("a subscriber sees every version once, in order", what);
        }
        if !ended {
            return told.len() > before;
        }
        self.stream = None;
        match error {
            Some(Some(ApiError::Internal(error))) => {
                shop.violated("a subscriber's gap can be filled", format!("{error:#}"));
            }
            Some(Some(_)) => {
                let deleted = |order: &shop_core::domain::Order| order.deleted;
                let is_gone = shop.mysql.orders.get(&self.order_id).is_none_or(deleted);
                if !is_gone {
                    self.connect(shop, hub);
                }
            }
            Some(None) | None => {
                let order = shop.mysql.orders.get(&self.order_id);
                if order.is_none_or(|order| !order.deleted) {
                    let what = format!("{} after {told:?}", self.order_id);
                    shop.violated("a stream ends with its order", what);
                }
            }
        }
        true
    }
}

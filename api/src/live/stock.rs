//! The newest level of one product's stock: a snapshot first, then what is newer. A level that was replaced before it was
//! told is not told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shop_core::domain::{ProductId, StockLevel};
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::metrics::LIVE_SUBSCRIPTIONS;
use shop_core::views::Views;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::graphql::error::ApiError;
use crate::live::Kind;

/// How long a new product's level is waited for.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);
/// How often the view is looked at meanwhile if the hub is silent.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the view is read after a loss before the stream ends with an error.
const READS: u32 = 8;
/// The wait before the second of them; it grows.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Who watches which product. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StockHub(Arc<Mutex<HashMap<ProductId, watch::Sender<Newest>>>>);

/// What the hub knows of a product that is watched.
#[derive(Debug, Clone, Default)]
struct Newest {
    level: Option<StockLevel>,
    /// How often levels may have been lost on the way here.
    losses: u64,
}

/// One watcher's place at the hub; given up when dropped.
#[derive(Debug)]
struct Place {
    hub: StockHub,
    product_id: ProductId,
    newest: watch::Receiver<Newest>,
}

/// Where levels are read: the views, or a test's own.
pub trait ReadStock: Send + 'static {
    /// The product's level as the view has it.
    fn read(
        &self,
        id: ProductId,
    ) -> impl Future<Output = Result<Option<StockLevel>, ApiError>> + Send;
}

impl ReadStock for Views {
    async fn read(&self, id: ProductId) -> Result<Option<StockLevel>, ApiError> {
        Ok(self.stock_level(id).await?)
    }
}

/// A watcher of one product.
#[derive(Debug)]
pub struct StockWatch<R> {
    place: Place,
    views: R,
    /// What was told last; `None` before the snapshot.
    told: Option<StockLevel>,
    losses: u64,
    ended: bool,
}

impl StockHub {
    /// Gives a level to those who watch the product. Never waits.
    pub fn publish(&self, level: &StockLevel) {
        if let Some(watched) = self.lock().get(&level.product_id) {
            watched.send_if_modified(|newest| {
                let is_newer = is_newer(level, newest.level.as_ref());
                if is_newer {
                    newest.level = Some(*level);
                }
                is_newer
            });
        }
    }

    /// Tells every watcher to read the view: levels may have been lost on the way here.
    pub fn resync(&self) {
        for watched in self.lock().values() {
            watched.send_modify(|newest| newest.losses += 1);
        }
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        let watched = self.lock();
        watched.values().map(watch::Sender::receiver_count).sum()
    }

    fn watch(&self, product_id: ProductId) -> Place {
        let newest = self.lock().entry(product_id).or_default().subscribe();
        metrics::gauge!(LIVE_SUBSCRIPTIONS).increment(1);
        Place {
            hub: self.clone(),
            product_id,
            newest,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProductId, watch::Sender<Newest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_SUBSCRIPTIONS).decrement(1);
        let mut watched = self.hub.lock();
        let others = watched
            .get(&self.product_id)
            .is_some_and(|sender| sender.receiver_count() > 1);
        if !others {
            watched.remove(&self.product_id);
        }
    }
}

impl<R: ReadStock> StockWatch<R> {
    /// Registers at the hub. The view is read when the first item is asked for.
    pub fn new(hub: &StockHub, views: R, product_id: ProductId) -> Self {
        Self {
            place: hub.watch(product_id),
            views,
            told: None,
            losses: 0,
            ended: false,
        }
    }

    /// The newest level that was not told yet; waits for it. `None` after an error.
    pub async fn next(&mut self) -> Option<Result<(Kind, StockLevel), ApiError>> {
        if self.ended {
            return None;
        }
        let found = match self.told {
            None => (self.snapshot().await).map(|level| (Kind::Snapshot, level)),
            Some(told) => (self.newer(&told).await).map(|level| (Kind::Live, level)),
        };
        match &found {
            Ok((_, level)) => self.told = Some(*level),
            Err(_) => self.ended = true,
        }
        Some(found)
    }

    /// Reads the view, and waits a bounded time for the level of a product that was created a moment ago.
    async fn snapshot(&mut self) -> Result<StockLevel, ApiError> {
        let product_id = self.place.product_id;
        let deadline = Instant::now() + APPEARS_WITHIN;
        self.losses = self.place.newest.borrow().losses;
        loop {
            if let Some(level) = self.views.read(product_id).await? {
                self.place.newest.mark_changed(); // whatever came meanwhile is compared with it
                return Ok(level);
            }
            if Instant::now() >= deadline {
                return Err(ApiError::NotFound(product_id.to_string()));
            }
            let _ = timeout(LOOK_EVERY, self.place.newest.changed()).await;
        }
    }

    async fn newer(&mut self, told: &StockLevel) -> Result<StockLevel, ApiError> {
        loop {
            if self.place.newest.changed().await.is_err() {
                return Err(ApiError::internal(anyhow::anyhow!("the hub is gone")));
            }
            let newest = self.place.newest.borrow_and_update().clone();
            let known = if newest.losses == self.losses {
                newest.level
            } else {
                self.losses = newest.losses;
                self.read_again().await?
            };
            if let Some(level) = known
                && is_newer(&level, Some(told))
            {
                return Ok(level);
            }
        }
    }

    /// Reads the view after a loss; a view that is away is waited for, for a while.
    async fn read_again(&self) -> Result<Option<StockLevel>, ApiError> {
        let mut backoff = Backoff::with_base(FIRST_WAIT);
        for _ in 1..READS {
            match self.views.read(self.place.product_id).await {
                Err(error) if error.is_retryable() => tokio::time::sleep(backoff.next()).await,
                other => return other,
            }
        }
        self.views.read(self.place.product_id).await
    }
}

fn is_newer(level: &StockLevel, than: Option<&StockLevel>) -> bool {
    than.is_none_or(|than| level.version > than.version)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt as _;

    use super::*;

    /// Views that answer what the test lined up, the last answer again and again.
    #[derive(Clone)]
    struct Answers(Arc<Mutex<VecDeque<Answer>>>);

    type Answer = Result<Option<StockLevel>, ApiError>;

    impl Answers {
        fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
            Self(Arc::new(Mutex::new(answers.into_iter().collect())))
        }

        fn set(&self, answers: impl IntoIterator<Item = Answer>) {
            *self.0.lock().expect("no panic") = answers.into_iter().collect();
        }
    }

    impl ReadStock for Answers {
        async fn read(&self, _: ProductId) -> Result<Option<StockLevel>, ApiError> {
            let mut answers = self.0.lock().expect("no panic");
            if answers.len() > 1 {
                answers.pop_front().expect("more than one")
            } else {
                answers.front().expect("at least one").clone()
            }
        }
    }

    fn level(version: u32) -> StockLevel {
        let id = "product_01939f2e-7b1c-7def-8a34-5b6c7d8e9f03";
        StockLevel {
            product_id: id.parse().expect("an id"),
            on_hand: 10 + version,
            reserved: 0,
            sellable: true,
            version,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of an answer")]
    fn known(version: u32) -> Answer {
        Ok(Some(level(version)))
    }

    fn watching(views: &Answers) -> (StockHub, StockWatch<Answers>) {
        let hub = StockHub::default();
        let watch = StockWatch::new(&hub, views.clone(), level(1).product_id);
        (hub, watch)
    }

    async fn told(watch: &mut StockWatch<Answers>) -> (Kind, u32) {
        let (kind, level) = watch.next().await.expect("an item").expect("no error");
        (kind, level.version)
    }

    #[tokio::test]
    async fn the_snapshot_comes_first_and_then_the_latest_alone() {
        let (hub, mut watch) = watching(&Answers::new([known(3)]));
        hub.publish(&level(4)); // registered already, and not asked yet
        assert_eq!(told(&mut watch).await, (Kind::Snapshot, 3));
        assert_eq!(told(&mut watch).await, (Kind::Live, 4));
        for version in [4, 5, 7, 6, 2] {
            hub.publish(&level(version));
        }
        assert_eq!(told(&mut watch).await, (Kind::Live, 7));
        hub.publish(&level(7));
        assert!(watch.next().now_or_never().is_none(), "7 is known");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_on_the_way_is_read_from_the_view_however_long_it_is_away() {
        let views = Answers::new([known(1)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(told(&mut watch).await, (Kind::Snapshot, 1));
        let away = || Err(ApiError::unavailable(anyhow::anyhow!("away")));
        views.set([away(), away(), known(5)]);
        hub.resync();
        assert_eq!(told(&mut watch).await, (Kind::Live, 5));
        views.set([away()]);
        hub.resync();
        let error = watch.next().await.expect("an item").expect_err("an error");
        assert!(error.is_retryable());
        assert!(watch.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_products_level_is_waited_for_and_one_that_never_appears_is_not_found() {
        let (_hub, mut watch) = watching(&Answers::new([Ok(None), Ok(None), known(1)]));
        assert_eq!(told(&mut watch).await, (Kind::Snapshot, 1));
        let (_hub, mut watch) = watching(&Answers::new([Ok(None)]));
        assert!(matches!(
            watch.next().await,
            Some(Err(ApiError::NotFound(_)))
        ));
    }

    #[test]
    fn a_dropped_watcher_leaves_nothing_behind() {
        let (hub, first) = watching(&Answers::new([known(1)]));
        let second = StockWatch::new(&hub, Answers::new([known(1)]), level(1).product_id);
        drop(first);
        assert_eq!(hub.watching(), 1);
        drop(second);
        assert!(hub.lock().is_empty());
    }
}

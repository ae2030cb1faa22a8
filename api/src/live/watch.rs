//! One watcher of one order: a snapshot first, then every newer version exactly once, in order.
//!
//! It registers at the hub first and reads the view second, so nothing falls between the two. Whatever the hub could not
//! keep for it is read from the view, which is written before a status is published.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shop_core::domain::{Order, OrderId};
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::failpoint::{self, Step};
use shop_core::runtime::guard::{self, Guard};
use shop_core::views::{DeletedOrder, OrderState, Views};
use tokio::time::{Instant, timeout};

use super::hub::{Hub, Mail, Mailbox};
use super::merge::{Merge, Offer};
use crate::graphql::error::ApiError;

/// How long a new order's view is waited for.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);
/// How often the view is looked at meanwhile if the hub is silent.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the view is read for one gap before the stream ends with an error.
const READS: u32 = 8;
/// The wait before the second of them; it grows.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Where orders are read: the views, or a test's own.
pub trait ReadOrders: Send + 'static {
    /// The order as the view has it, deleted or not.
    fn read(
        &self,
        id: OrderId,
    ) -> impl Future<Output = Result<Option<OrderState>, ApiError>> + Send;
}

impl ReadOrders for Views {
    async fn read(&self, id: OrderId) -> Result<Option<OrderState>, ApiError> {
        Ok(self.order_state(id).await?)
    }
}

/// A watcher; its place at the hub is given up when it is dropped.
#[derive(Debug)]
pub struct Watch<R> {
    order_id: OrderId,
    mailbox: Mailbox,
    views: R,
    merge: Merge,
    /// The newest state that was told; `None` before the snapshot.
    newest: Option<Arc<Order>>,
    ready: VecDeque<Arc<Order>>,
    ended: bool,
}

impl<R: ReadOrders> Watch<R> {
    /// Registers at the hub. The view is read when the first item is asked for.
    pub fn new(hub: &Hub, views: R, order_id: OrderId) -> Self {
        Self {
            order_id,
            mailbox: hub.watch(order_id),
            views,
            merge: Merge::default(),
            newest: None,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next state; waits for it. `None` once the order is deleted, or after an error.
    pub async fn next(&mut self) -> Option<Result<Arc<Order>, ApiError>> {
        loop {
            if let Some(order) = self.ready.pop_front() {
                return Some(Ok(order));
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
        if self.newest.is_none() {
            return self.begin().await;
        }
        match self.mailbox.next().await {
            Mail::State(order) if self.take(&order) => Ok(()),
            Mail::State(_) | Mail::Lagged => self.catch_up().await,
        }
    }

    /// Reads the snapshot, and waits a bounded time for an order that was created a moment ago.
    async fn begin(&mut self) -> Result<(), ApiError> {
        let deadline = Instant::now() + APPEARS_WITHIN;
        loop {
            let view = self.views.read(self.order_id).await?;
            failpoint::pass(Step::SnapshotRead).await;
            if !guard::is_on(Guard::RegisterBeforeRead) {
                self.mailbox = self.mailbox.anew();
            }
            match view {
                Some(OrderState::Live(order)) => {
                    let order = Arc::<Order>::from(order);
                    self.merge.snapshot(&order);
                    self.newest = Some(Arc::clone(&order));
                    self.ready.push_back(order);
                    return Ok(());
                }
                None if Instant::now() < deadline => {
                    // Woken by the hub or by the clock, the view is looked at again.
                    let _ = timeout(LOOK_EVERY, self.mailbox.next()).await;
                }
                Some(OrderState::Deleted(_)) | None => {
                    return Err(ApiError::NotFound(self.order_id.to_string()));
                }
            }
        }
    }

    /// Whether the state told all that was missing up to it.
    fn take(&mut self, order: &Order) -> bool {
        let Offer::Tell(missed) = self.merge.offer(order) else {
            return false;
        };
        for order in missed.into_iter().map(Arc::new) {
            if order.deleted {
                self.ended = true;
            } else {
                self.newest = Some(Arc::clone(&order));
                self.ready.push_back(order);
            }
        }
        true
    }

    /// Fills from the view whatever the hub could not keep.
    async fn catch_up(&mut self) -> Result<(), ApiError> {
        let mut backoff = Backoff::with_base(FIRST_WAIT);
        let mut last_error = None;
        for read in 0..READS {
            if read > 0 {
                tokio::time::sleep(backoff.next()).await;
            }
            let filled = match self.views.read(self.order_id).await {
                Ok(Some(OrderState::Live(order))) => self.take(&order),
                Ok(Some(OrderState::Deleted(rest))) => {
                    let told = self
                        .newest
                        .clone()
                        .is_some_and(|newest| self.take(&revive(&newest, rest)));
                    self.ended = true;
                    told
                }
                Ok(None) => false,
                Err(error) if error.is_retryable() => {
                    last_error = Some(error);
                    false
                }
                Err(error) => return Err(error),
            };
            if filled || self.ended {
                return Ok(());
            }
        }
        Err(last_error.unwrap_or_else(|| {
            ApiError::internal(anyhow::anyhow!(
                "the view of {} lacks versions after {}",
                self.order_id,
                self.merge.told()
            ))
        }))
    }
}

/// A deleted order as far as it can be told: what was told last, with the timeline that is left.
fn revive(newest: &Order, rest: DeletedOrder) -> Order {
    Order {
        version: rest.version,
        status: rest.status,
        timeline: rest.timeline,
        updated_at: rest.updated_at,
        deleted: true,
        ..newest.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::live::hub::tests::an_order_at;

    /// Views that answer what the test lined up, the last answer again and again.
    #[derive(Clone)]
    struct Answers(Arc<Mutex<VecDeque<Answer>>>);

    type Answer = Result<Option<OrderState>, ApiError>;

    impl Answers {
        fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
            Self(Arc::new(Mutex::new(answers.into_iter().collect())))
        }

        fn push(&self, answer: Answer) {
            let mut answers = self.0.lock().expect("no panic while locked");
            answers.clear();
            answers.push_back(answer);
        }
    }

    impl ReadOrders for Answers {
        async fn read(&self, _: OrderId) -> Result<Option<OrderState>, ApiError> {
            let mut answers = self.0.lock().expect("no panic while locked");
            if answers.len() > 1 {
                answers.pop_front().expect("more than one")
            } else {
                answers.front().expect("at least one").clone()
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of an answer")]
    fn live(version: u32) -> Answer {
        Ok(Some(OrderState::Live(Box::new(an_order_at(version)))))
    }

    fn deleted() -> Order {
        let mut order = an_order_at(6);
        order.delete(order.updated_at).expect("delivered");
        order
    }

    fn state_of_deleted() -> OrderState {
        let order = deleted();
        OrderState::Deleted(DeletedOrder {
            id: order.id,
            version: order.version,
            status: order.status,
            timeline: order.timeline,
            created_at: order.created_at,
            updated_at: order.updated_at,
        })
    }

    fn watching(views: &Answers) -> (Hub, Watch<Answers>) {
        let hub = Hub::new();
        let watch = Watch::new(&hub, views.clone(), an_order_at(1).id);
        (hub, watch)
    }

    async fn versions<const N: usize>(watch: &mut Watch<Answers>) -> [u32; N] {
        let mut versions = [0; N];
        for version in &mut versions {
            *version = watch
                .next()
                .await
                .expect("an item")
                .expect("no error")
                .version;
        }
        versions
    }

    fn publish(hub: &Hub, versions: impl IntoIterator<Item = u32>) {
        for version in versions {
            hub.publish(&Arc::new(an_order_at(version)));
        }
    }

    #[tokio::test]
    async fn what_was_published_between_registering_and_reading_is_told_once() {
        let (hub, mut watch) = watching(&Answers::new([live(2)]));
        publish(&hub, [1, 2, 3]);
        assert_eq!(versions(&mut watch).await, [2, 3]);
        publish(&hub, [3, 5]);
        assert_eq!(versions(&mut watch).await, [4, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_orders_view_is_waited_for() {
        let (_hub, mut watch) = watching(&Answers::new([Ok(None), Ok(None), live(1)]));
        assert_eq!(versions(&mut watch).await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_appears_and_what_was_deleted_is_not_found_and_the_stream_ends() {
        for answer in [Ok(None), Ok(Some(state_of_deleted()))] {
            let (_hub, mut watch) = watching(&Answers::new([answer]));
            assert!(matches!(
                watch.next().await,
                Some(Err(ApiError::NotFound(_)))
            ));
            assert!(watch.next().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_fell_behind_fills_from_the_view_and_survives_its_absence() {
        let views = Answers::new([live(1)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(versions(&mut watch).await, [1]);
        let away = || Err(ApiError::unavailable(anyhow::anyhow!("away")));
        *views.0.lock().expect("no panic while locked") = VecDeque::from([away(), away(), live(4)]);
        hub.resync();
        assert_eq!(versions(&mut watch).await, [2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn views_that_stay_away_end_the_stream_with_a_retryable_error() {
        let views = Answers::new([live(1)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(versions(&mut watch).await, [1]);
        views.push(Err(ApiError::unavailable(anyhow::anyhow!("away"))));
        hub.resync();
        let error = watch.next().await.expect("an item").expect_err("an error");
        assert!(error.is_retryable());
        assert!(watch.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_without_its_timeline_is_filled_from_the_view() {
        let views = Answers::new([live(1)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(versions(&mut watch).await, [1]);
        views.push(live(4));
        let mut holed = an_order_at(4);
        holed.timeline.remove(2);
        hub.publish(&Arc::new(holed));
        assert_eq!(versions(&mut watch).await, [2, 3, 4]);
    }

    #[tokio::test]
    async fn the_deletion_ends_the_stream_after_what_was_missed() {
        let (hub, mut watch) = watching(&Answers::new([live(4)]));
        assert_eq!(versions(&mut watch).await, [4]);
        hub.publish(&Arc::new(deleted()));
        assert_eq!(versions(&mut watch).await, [5, 6]);
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn a_deletion_seen_in_the_view_alone_does_so_too() {
        let views = Answers::new([live(4)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(versions(&mut watch).await, [4]);
        views.push(Ok(Some(state_of_deleted())));
        hub.resync();
        assert_eq!(versions(&mut watch).await, [5, 6]);
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn a_flood_for_a_slow_watcher_is_bounded_and_loses_no_version() {
        let views = Answers::new([live(1)]);
        let (hub, mut watch) = watching(&views);
        assert_eq!(versions(&mut watch).await, [1]);
        views.push(live(6));
        publish(&hub, (0..1_000).map(|n| 2 + n % 5));
        assert_eq!(versions(&mut watch).await, [2, 3, 4, 5, 6]);
    }
}

//! One watcher of one order: a snapshot first, or what was missed since a cursor, then every newer version exactly once, in
//! order.
//!
//! The view has the order's whole timeline and every copy of this program reads the same view, so a cursor is good on any of
//! them, at any time. It registers at the hub first and reads the view second, so nothing falls between the two. Whatever the hub could not
//! keep for it is read from the view, which is written before a status is published.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::Stream;
use shop_core::domain::order::TimelineEntry;
use shop_core::domain::{Order, OrderId, Scope};
use shop_core::runtime::backoff::Backoff;
use shop_core::runtime::failpoint::{self, Step};
use shop_core::runtime::guard::{self, Guard};
use shop_core::views::{DeletedOrder, OrderState, Views};
use tokio::time::{Instant, timeout};

use super::Kind;
use super::cursor::{BadCursor, Known, OrderPlace};
use super::hub::{Hub, Mail, Mailbox, Published};
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
    /// The order as the view has it, deleted or not, as far as a scope reaches.
    fn read(
        &self,
        id: OrderId,
        scope: Scope,
    ) -> impl Future<Output = Result<Option<OrderState>, ApiError>> + Send;
}

impl ReadOrders for Views {
    async fn read(&self, id: OrderId, scope: Scope) -> Result<Option<OrderState>, ApiError> {
        Ok(self.reach(scope).order_state(id).await?)
    }
}

/// One version of an order, as a watcher is told.
#[derive(Debug, Clone)]
pub struct Change {
    /// Why it is told.
    pub kind: Kind,
    /// The order as of this version.
    pub order: Arc<Order>,
    /// The same where others are told it too.
    pub published: Option<Arc<Published>>,
}

impl Change {
    /// One that nobody else is told.
    pub const fn own(kind: Kind, order: Arc<Order>) -> Self {
        Self {
            kind,
            order,
            published: None,
        }
    }
}

/// A watcher's states, until the order is deleted or there is an error; its place at the hub is given up when it is dropped.
///
/// Most of the time a watcher waits, so what reading takes is there only while it reads.
pub struct Watch<R>(State<R>);

enum State<R> {
    /// Until there is mail.
    Waiting(Box<Watcher<R>>),
    /// The view.
    Reading(BoxFuture<'static, Outcome<R>>),
    Over,
}

/// What comes of reading the view.
type Outcome<R> = (Box<Watcher<R>>, Result<(), ApiError>);

/// A place at the hub, and what was told.
#[derive(Debug)]
struct Watcher<R> {
    order_id: OrderId,
    scope: Scope,
    mailbox: Mailbox,
    views: R,
    /// Where the client stands; `None` if it begins.
    after: Option<Known<OrderPlace>>,
    merge: Merge,
    /// The newest state that was told or needs no telling; `None` before the view was read.
    newest: Option<Arc<Order>>,
    ready: VecDeque<Change>,
    ended: bool,
}

/// What a watcher does next.
enum Next {
    /// It tells this.
    Tell(Change),
    /// It reads the view.
    Read,
    /// It tells nothing more.
    End,
}

impl<R: ReadOrders> Watch<R> {
    /// Registers at the hub. The view is read when the first item is asked for. The client goes on after the cursor, if it was told
    /// before. An order beyond the scope does not exist.
    pub fn new(
        hub: &Hub,
        views: R,
        scope: Scope,
        order_id: OrderId,
        after: Option<Known<OrderPlace>>,
    ) -> Self {
        Self(State::Waiting(Box::new(Watcher {
            order_id,
            scope,
            mailbox: hub.watch(order_id, scope),
            views,
            after,
            merge: Merge::default(),
            newest: None,
            ready: VecDeque::new(),
            ended: false,
        })))
    }
}

impl<R: ReadOrders> State<R> {
    fn begin_reading(&mut self) {
        if let Self::Waiting(watcher) = std::mem::replace(self, Self::Over) {
            *self = Self::Reading(Box::pin(watcher.read()));
        }
    }
}

impl<R: ReadOrders> Stream for Watch<R> {
    type Item = Result<Change, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.0 {
                State::Waiting(watcher) => match ready!(watcher.poll_next(cx)) {
                    Next::Tell(change) => return Poll::Ready(Some(Ok(change))),
                    Next::End => self.0 = State::Over,
                    Next::Read => self.0.begin_reading(),
                },
                State::Reading(reading) => {
                    let (watcher, read) = ready!(reading.as_mut().poll(cx));
                    if let Err(error) = read {
                        self.0 = State::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.0 = State::Waiting(watcher);
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl<R: ReadOrders> Watcher<R> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    self.ready = VecDeque::new(); // most of the time nothing is, and its memory is not kept for that
                }
                return Poll::Ready(Next::Tell(change));
            }
            if self.ended {
                return Poll::Ready(Next::End);
            }
            if self.newest.is_none() {
                return Poll::Ready(Next::Read);
            }
            let Mail::State(state) = ready!(self.mailbox.poll_next(cx)) else {
                return Poll::Ready(Next::Read);
            };
            if let Some(change) = self.take_next(&state) {
                return Poll::Ready(Next::Tell(change));
            }
            if !self.take(&state.order, Kind::Live) {
                return Poll::Ready(Next::Read);
            }
        }
    }

    /// A state that is the next one is told as it is, which is the common case.
    fn take_next(&mut self, state: &Arc<Published>) -> Option<Change> {
        let order = &state.order;
        if order.deleted || !self.merge.is_next(order) {
            return None;
        }
        self.newest = Some(Arc::clone(order));
        Some(Change {
            kind: Kind::Live,
            order: Arc::clone(order),
            published: Some(Arc::clone(state)),
        })
    }

    async fn read(mut self: Box<Self>) -> Outcome<R> {
        let read = if self.newest.is_none() {
            self.begin().await
        } else {
            self.catch_up().await
        };
        (self, read)
    }

    /// Reads the view for the first time, and waits a bounded time for what it should have and has not: an order that was
    /// created a moment ago, or, while the views change their generation, the version that another copy told.
    async fn begin(&mut self) -> Result<(), ApiError> {
        let deadline = Instant::now() + APPEARS_WITHIN;
        loop {
            let view = self.views.read(self.order_id, self.scope).await?;
            failpoint::pass(Step::SnapshotRead).await;
            if !guard::is_on(Guard::RegisterBeforeRead) {
                self.mailbox = self.mailbox.anew();
            }
            let ahead = self.ahead_of(view.as_ref());
            match view {
                Some(OrderState::Live(order)) if ahead.is_none() => {
                    self.begin_with(&self.mailbox.held(order));
                    return Ok(());
                }
                Some(OrderState::Deleted(rest)) if ahead.is_none() => {
                    return self.begin_deleted(&rest);
                }
                _ if Instant::now() < deadline => {
                    // Woken by the hub or by the clock, the view is looked at again.
                    let _ = timeout(LOOK_EVERY, self.mailbox.next()).await;
                }
                _ => return Err(ahead.unwrap_or_else(|| self.not_found())),
            }
        }
    }

    /// What to say to a client whose cursor is ahead of the view.
    fn ahead_of(&self, view: Option<&OrderState>) -> Option<ApiError> {
        let Some(Known::Place(place)) = self.after else {
            return None;
        };
        (place.version > view?.version())
            .then(|| ApiError::bad_cursor(BadCursor::InTheFuture(place.version)))
    }

    /// The first items: what the cursor lacks, or the order as it is.
    fn begin_with(&mut self, order: &Arc<Order>) {
        self.newest = Some(Arc::clone(order));
        let kind = match self.after {
            None => Kind::Snapshot,
            Some(Known::Place(place)) if is_in(&order.timeline, place) => {
                self.merge.go_on_after(place.version);
                if self.take(order, Kind::Missed) {
                    self.newest = Some(Arc::clone(order)); // as others hold it
                    return;
                }
                Kind::Resync
            }
            Some(_) => Kind::Resync,
        };
        self.merge.snapshot(order);
        let order = Arc::clone(order);
        self.ready.push_back(Change::own(kind, order));
    }

    /// Of a deleted order nothing is left to tell: the stream ends if nothing but the deletion was missed.
    fn begin_deleted(&mut self, rest: &DeletedOrder) -> Result<(), ApiError> {
        let has_all = match self.after {
            Some(Known::Place(place)) => {
                place.version + 1 >= rest.version && is_in(&rest.timeline, place)
            }
            Some(Known::OtherLayout) | None => false,
        };
        if !has_all {
            return Err(self.not_found());
        }
        self.ended = true;
        Ok(())
    }

    fn not_found(&self) -> ApiError {
        ApiError::NotFound(self.order_id.to_string())
    }

    /// Whether the state told all that was missing up to it.
    fn take(&mut self, order: &Order, kind: Kind) -> bool {
        let Offer::Tell(missed) = self.merge.offer(order) else {
            return false;
        };
        for order in missed.into_iter().map(Arc::new) {
            if order.deleted {
                self.ended = true;
            } else {
                self.newest = Some(Arc::clone(&order));
                self.ready.push_back(Change::own(kind, order));
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
            // Whose it is was seen when the stream began, and never changes; what is left of a deleted order is nobody's.
            let read = self.views.read(self.order_id, Scope::Everything);
            let filled = match read.await {
                Ok(Some(OrderState::Live(order))) => self.take(&order, Kind::Live),
                Ok(Some(OrderState::Deleted(rest))) => {
                    let told = self
                        .newest
                        .clone()
                        .is_some_and(|newest| self.take(&revive(&newest, rest), Kind::Live));
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

/// Whether a history has a version, made at that time.
fn is_in(timeline: &[TimelineEntry], place: OrderPlace) -> bool {
    let mut entries = timeline.iter().rev();
    let found = entries.find(|entry| entry.version == place.version);
    found.is_some_and(|entry| entry.at == place.at)
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
mod tests;

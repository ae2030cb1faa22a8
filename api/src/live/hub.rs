//! Fans states of orders out to those who watch them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use shop_core::domain::{Order, OrderId, Scope};
use shop_core::runtime::metrics::LIVE_SUBSCRIPTIONS;

use super::answers::Answers;

/// States that one mailbox holds, at most. A whole life of an order has fewer versions.
const MAILBOX_SIZE: usize = 16;

/// Who watches which order. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    watched: Arc<Mutex<HashMap<OrderId, Watched>>>,
}

/// An order that somebody watches.
#[derive(Debug, Default)]
struct Watched {
    watchers: Vec<Weak<Shared>>,
    /// The state that was last given to any of them, as long as one of them has it.
    newest: Weak<Order>,
}

/// A state on its way to those who watch.
#[derive(Debug)]
pub struct Published {
    /// The state.
    pub order: Arc<Order>,
    /// What was answered about it so far.
    pub answers: Answers,
}

/// What a watcher finds in its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// A state of the order.
    State(Arc<Published>),
    /// States were dropped: read the view.
    Lagged,
}

/// One watcher's place at the hub; given up when dropped.
#[derive(Debug)]
pub struct Mailbox {
    hub: Hub,
    order_id: OrderId,
    scope: Scope,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    scope: Scope,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    states: VecDeque<Arc<Published>>,
    lagged: bool,
    /// Who waits for something to arrive.
    waiting: Option<Waker>,
}

impl From<&Arc<Order>> for Published {
    fn from(order: &Arc<Order>) -> Self {
        Self {
            order: Arc::clone(order),
            answers: Answers::default(),
        }
    }
}

/// By the state: answers are only remembered.
impl PartialEq for Published {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Published {}

impl Hub {
    /// A hub without watchers.
    pub fn new() -> Self {
        metrics::gauge!(LIVE_SUBSCRIPTIONS).set(0);
        Self::default()
    }

    /// Watches one order from now on, if it is within the scope: nobody is woken by another's.
    pub fn watch(&self, order_id: OrderId, scope: Scope) -> Mailbox {
        let shared = Arc::new(Shared::within(scope));
        let mut watched = self.lock();
        let of_order = watched.entry(order_id).or_default();
        of_order.watchers.push(Arc::downgrade(&shared));
        drop(watched);
        metrics::gauge!(LIVE_SUBSCRIPTIONS).increment(1);
        Mailbox {
            hub: self.clone(),
            order_id,
            scope,
            shared,
        }
    }

    /// The same state as a watcher holds it already, or else this one: many begin with the same.
    fn held(&self, mut order: Box<Order>) -> Arc<Order> {
        let newest = self.lock().get(&order.id).map(|it| it.newest.clone());
        let held = newest.and_then(|newest| newest.upgrade());
        if let Some(held) = held.filter(|held| **held == *order) {
            return held;
        }
        // It is held as long as it is watched, and does not grow.
        order.items.shrink_to_fit();
        order.timeline.shrink_to_fit();
        let order = Arc::from(order);
        self.hold(&order);
        order
    }

    /// Gives a state to those who watch the order. Never waits.
    pub fn publish(&self, order: &Arc<Order>) {
        let mut watchers = self.watchers_of(order.id);
        watchers.retain(|watcher| watcher.scope.has_order(order));
        if watchers.is_empty() {
            return;
        }
        self.hold(order);
        let state = Arc::new(Published::from(order));
        for watcher in watchers {
            watcher.put(Arc::clone(&state));
        }
    }

    /// Tells the watchers of one order to read the view: a state of it was lost on the way here.
    pub fn lag(&self, order_id: OrderId) {
        for watcher in self.watchers_of(order_id) {
            watcher.lag();
        }
    }

    /// Tells every watcher to read the view: states may have been lost on the way here.
    pub fn resync(&self) {
        let all: Vec<_> = self
            .lock()
            .values()
            .flat_map(|it| &it.watchers)
            .filter_map(Weak::upgrade)
            .collect();
        for watcher in all {
            watcher.lag();
        }
    }

    /// How many watch, for tests.
    pub fn watching(&self) -> usize {
        self.lock().values().map(|it| it.watchers.len()).sum()
    }

    fn hold(&self, order: &Arc<Order>) {
        if let Some(watched) = self.lock().get_mut(&order.id) {
            watched.newest = Arc::downgrade(order);
        }
    }

    fn watchers_of(&self, order_id: OrderId) -> Vec<Arc<Shared>> {
        self.lock()
            .get(&order_id)
            .map(|it| it.watchers.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    /// Another place at the hub for the same order, empty.
    #[must_use]
    pub fn anew(&self) -> Self {
        self.hub.watch(self.order_id, self.scope)
    }

    /// The same state as a watcher holds it already, or else this one.
    pub fn held(&self, order: Box<Order>) -> Arc<Order> {
        self.hub.held(order)
    }

    /// The next mail, oldest first; waits for it. Safe to drop and ask again.
    pub async fn next(&self) -> Mail {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for one who waits for something else too. Only who asked last is woken.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut content = self.shared.lock();
        if let Some(mail) = content.take() {
            return Poll::Ready(mail);
        }
        match &mut content.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            waiting => *waiting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_SUBSCRIPTIONS).decrement(1);
        let mut watched = self.hub.lock();
        if let Some(of_order) = watched.get_mut(&self.order_id) {
            let watchers = &mut of_order.watchers;
            let own = Arc::as_ptr(&self.shared);
            if let Some(place) = watchers.iter().position(|it| it.as_ptr() == own) {
                watchers.swap_remove(place);
            }
            if watchers.is_empty() {
                watched.remove(&self.order_id);
            }
        }
    }
}

impl Shared {
    fn within(scope: Scope) -> Self {
        Self {
            scope,
            content: Mutex::default(),
        }
    }

    fn put(&self, state: Arc<Published>) {
        self.tell(|content| {
            if content.states.len() < MAILBOX_SIZE {
                content.states.push_back(state);
            } else {
                content.states.clear();
                content.lagged = true;
            }
        });
    }

    fn lag(&self) {
        self.tell(|content| content.lagged = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Content)) {
        let mut content = self.lock();
        change(&mut content);
        let waiting = content.waiting.take();
        drop(content);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn take(&mut self) -> Option<Mail> {
        if std::mem::take(&mut self.lagged) {
            return Some(Mail::Lagged);
        }
        self.states.pop_front().map(Mail::State)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use shop_core::domain::order::{Actor, NewLine, NewPayment};
    use shop_core::domain::{OrderStatus, Product, ProductId, Timestamp, User, UserId};

    use super::*;

    /// An order on its way to DELIVERED, version 6, as of a version.
    pub(crate) fn an_order_at(version: u32) -> Order {
        let now = Timestamp::from_millis;
        let id = "order_01939f2e-7b1c-7def-8a34-5b6c7d8e9f01"
            .parse()
            .expect("an id");
        let user_id: UserId = "user_01939f2e-7b1c-7def-8a34-5b6c7d8e9f02"
            .parse()
            .expect("an id");
        let product_id: ProductId = "product_01939f2e-7b1c-7def-8a34-5b6c7d8e9f03"
            .parse()
            .expect("an id");
        let price = shop_core::domain::Money {
            minor: 250,
            currency: "EUR".parse().expect("EUR"),
        };
        let user = User::create(user_id, now(0), "Ada", "ada@example.org").expect("a user");
        let mug = Product::create(product_id, now(0), "Mug", "", price).expect("a product");
        let line = NewLine {
            product_id,
            quantity: 2,
            expected_unit_price: None,
        };
        let mut order = Order::place(id, now(1), &user, &[line], &[mug]).expect("an order");
        order.confirm(now(2)).expect("pending");
        let payment = NewPayment {
            method: "card".into(),
            reference: "r-1".into(),
        };
        order.pay(now(3), payment).expect("confirmed");
        for (at, status) in [
            (4, OrderStatus::Processing),
            (5, OrderStatus::Shipped),
            (6, OrderStatus::Delivered),
        ] {
            order.advance(now(at), status).expect("the next status");
        }
        assert!(
            order
                .timeline
                .iter()
                .all(|entry| entry.actor != Actor::System || entry.version == 2)
        );
        order.at_version(version).expect("a version from 1 to 6")
    }

    fn mail_now(mailbox: &Mailbox) -> Option<Mail> {
        use futures::FutureExt as _;
        mailbox.next().now_or_never()
    }

    fn published(hub: &Hub, version: u32) -> Mail {
        let order = Arc::new(an_order_at(version));
        hub.publish(&order);
        Mail::State(Arc::new(Published::from(&order)))
    }

    #[test]
    fn watchers_of_an_order_get_its_states_in_order_and_others_get_nothing() {
        let hub = Hub::new();
        let other = "order_01939f2e-7b1c-7def-8a34-000000000000"
            .parse()
            .expect("an id");
        let id = an_order_at(1).id;
        let (first, second, elsewhere) = (
            hub.watch(id, Scope::Everything),
            hub.watch(id, Scope::Everything),
            hub.watch(other, Scope::Everything),
        );
        let sent = [published(&hub, 1), published(&hub, 2)];
        for mailbox in [&first, &second] {
            assert_eq!(
                sent,
                [mail_now(mailbox), mail_now(mailbox)].map(|mail| mail.expect("mail"))
            );
            assert_eq!(mail_now(mailbox), None);
        }
        assert_eq!(mail_now(&elsewhere), None);
    }

    #[test]
    fn a_watcher_that_falls_behind_is_told_so_and_holds_no_more_than_its_share() {
        let hub = Hub::new();
        let slow = hub.watch(an_order_at(1).id, Scope::Everything);
        for _ in 0..=MAILBOX_SIZE {
            published(&hub, 1);
        }
        let newest = published(&hub, 2);
        assert_eq!(mail_now(&slow), Some(Mail::Lagged));
        assert_eq!(mail_now(&slow), Some(newest));
        assert_eq!(mail_now(&slow), None);
    }

    #[test]
    fn a_resync_reaches_everyone_before_what_is_queued() {
        let hub = Hub::new();
        let mailbox = hub.watch(an_order_at(1).id, Scope::Everything);
        let queued = published(&hub, 3);
        hub.resync();
        assert_eq!(mail_now(&mailbox), Some(Mail::Lagged));
        assert_eq!(mail_now(&mailbox), Some(queued));
    }

    #[test]
    fn those_who_begin_with_the_same_state_hold_it_once() {
        let hub = Hub::new();
        let _mailbox = hub.watch(an_order_at(1).id, Scope::Everything);
        let held = |version| hub.held(Box::new(an_order_at(version)));
        let first = held(2);
        assert!(Arc::ptr_eq(&first, &held(2)));
        let second = held(3);
        assert_eq!(*second, an_order_at(3));
        assert!(
            !Arc::ptr_eq(&first, &held(2)),
            "only the newest is looked for"
        );
        let told = Arc::new(an_order_at(4));
        hub.publish(&told);
        assert!(Arc::ptr_eq(&told, &held(4)));
    }

    #[test]
    fn a_dropped_watcher_leaves_nothing_behind() {
        let hub = Hub::new();
        let id = an_order_at(1).id;
        let (first, second) = (
            hub.watch(id, Scope::Everything),
            hub.watch(id, Scope::Everything),
        );
        drop(first);
        assert_eq!(hub.watching(), 1);
        drop(second);
        assert_eq!(hub.watching(), 0);
        assert!(hub.lock().is_empty());
    }

    #[tokio::test]
    async fn a_waiting_watcher_is_woken() {
        let hub = Hub::new();
        let mailbox = hub.watch(an_order_at(1).id, Scope::Everything);
        let waiting = tokio::spawn(async move { mailbox.next().await });
        tokio::task::yield_now().await;
        let sent = published(&hub, 1);
        let got = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert_eq!(got.expect("woken in time").expect("no panic"), sent);
    }
}

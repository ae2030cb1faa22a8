//! Fans updates out to those who follow them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shop_core::domain::{Order, OrderStatus, Timestamp, UserId};
use shop_core::runtime::metrics::LIVE_SUBSCRIPTIONS;
use shop_core::views::OrderFilter;
use tokio::sync::Notify;

use crate::live::cursor::{PartitionPlace, TopicPlace};

/// Updates that one mailbox holds, at most.
const MAILBOX_SIZE: usize = 256;

/// Who follows which orders. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Updates(Arc<Mutex<State>>);

/// One order's new state, and the place after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The order.
    pub order: Arc<Order>,
    /// Where somebody stands who was told this, and everything before it.
    pub place: Arc<TopicPlace>,
}

/// What a follower finds in its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// An update.
    Update(Update),
    /// Updates were dropped, and nothing comes any more: read the topic, with a new mailbox.
    Behind,
}

/// One follower's place at the hub; given up when dropped.
#[derive(Debug)]
pub struct Mailbox {
    hub: Updates,
    id: u64,
    filter: OrderFilter,
    start: Option<Arc<TopicPlace>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct State {
    /// How far the topic was read; `None` while it is not.
    place: Option<Arc<TopicPlace>>,
    followers: HashMap<u64, Follower>,
    by_customer: HashMap<UserId, HashSet<u64>>,
    by_status: HashMap<OrderStatus, HashSet<u64>>,
    of_all: HashSet<u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Follower {
    filter: OrderFilter,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Content {
    updates: VecDeque<Update>,
    behind: bool,
}

/// Whether a filter lets an order through. Of a deletion nobody is told.
pub fn matches(filter: &OrderFilter, order: &Order) -> bool {
    !order.deleted
        && filter.customer_id.is_none_or(|id| id == order.customer_id)
        && (filter.statuses.is_empty() || filter.statuses.contains(&order.status))
}

impl Updates {
    /// Follows orders from now on.
    pub fn follow(&self, filter: OrderFilter) -> Mailbox {
        let mut state = self.lock();
        state.last_id += 1;
        let (id, shared) = (state.last_id, Arc::<Shared>::default());
        for index in state.indexes(&filter) {
            index.insert(id);
        }
        let follower = Follower {
            filter: filter.clone(),
            shared: Arc::clone(&shared),
        };
        state.followers.insert(id, follower);
        let start = state.place.clone();
        drop(state);
        metrics::gauge!(LIVE_SUBSCRIPTIONS).increment(1);
        Mailbox {
            hub: self.clone(),
            id,
            filter,
            start,
            shared,
        }
    }

    /// The topic is read, from this place on. Whoever followed before reads what may lie between.
    pub fn begin(&self, place: TopicPlace) {
        self.set(Some(Arc::new(place)));
    }

    /// The topic is not read any more.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, place: Option<Arc<TopicPlace>>) {
        let mut state = self.lock();
        state.place = place;
        state.followers.values().for_each(|one| one.shared.lag());
    }

    /// Takes the next record of a partition, and gives its state to those who follow the order. Never waits. If it is not the
    /// next one, the topic was made anew or is kept too short: everybody reads the topic, to find out.
    pub fn publish(
        &self,
        partition: i32,
        record: PartitionPlace,
        at: Timestamp,
        order: &Arc<Order>,
    ) {
        let mut state = self.lock();
        let is_next = state.expects(partition) == Some(record.next - 1);
        let Some(place) = state.go_on(partition, record, at) else {
            return;
        };
        if !is_next {
            state.followers.values().for_each(|one| one.shared.lag());
            return;
        }
        let candidates = [
            state.by_customer.get(&order.customer_id),
            state.by_status.get(&order.status),
            Some(&state.of_all),
        ];
        for id in candidates.into_iter().flatten().flatten() {
            if let Some(one) = state.followers.get(id)
                && matches(&one.filter, order)
            {
                one.shared.put(Update {
                    order: Arc::clone(order),
                    place: Arc::clone(&place),
                });
            }
        }
    }

    /// Takes the next record of a partition, which can not be read. Everybody reads the topic, to come upon it there.
    pub fn skip(&self, partition: i32, record: PartitionPlace, at: Timestamp) {
        let mut state = self.lock();
        state.go_on(partition, record, at);
        state.followers.values().for_each(|one| one.shared.lag());
    }

    /// How many follow.
    pub fn following(&self) -> usize {
        self.lock().followers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The offset of a partition's next record.
    fn expects(&self, partition: i32) -> Option<i64> {
        let index = usize::try_from(partition).ok()?;
        Some(self.place.as_ref()?.partitions.get(index)?.next)
    }

    /// The place after a record.
    fn go_on(
        &mut self,
        partition: i32,
        record: PartitionPlace,
        at: Timestamp,
    ) -> Option<Arc<TopicPlace>> {
        let place = self.place.as_ref()?.after(partition, record, at);
        let place = Arc::new(place);
        self.place = Some(Arc::clone(&place));
        Some(place)
    }

    /// Where a follower is found: by the customer, or else by each status, or else for every order.
    fn indexes(&mut self, filter: &OrderFilter) -> Vec<&mut HashSet<u64>> {
        if let Some(customer) = filter.customer_id {
            return vec![self.by_customer.entry(customer).or_default()];
        }
        if filter.statuses.is_empty() {
            return vec![&mut self.of_all];
        }
        for status in &filter.statuses {
            self.by_status.entry(*status).or_default();
        }
        let wanted = |status: &OrderStatus| filter.statuses.contains(status);
        self.by_status
            .iter_mut()
            .filter_map(|(status, index)| wanted(status).then_some(index))
            .collect()
    }
}

impl Mailbox {
    /// Another place at the hub for the same orders, empty.
    #[must_use]
    pub fn anew(&self) -> Self {
        self.hub.follow(self.filter.clone())
    }

    /// From which place on updates come; `None` if the topic was not being read.
    pub const fn start(&self) -> Option<&Arc<TopicPlace>> {
        self.start.as_ref()
    }

    /// The next mail, oldest first; waits for it. Safe to drop and ask again.
    pub async fn next(&self) -> Mail {
        loop {
            // Asked for before looking, so that what arrives in between wakes it.
            let arrived = self.shared.arrived.notified();
            if let Some(mail) = self.shared.take() {
                return mail;
            }
            arrived.await;
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        metrics::gauge!(LIVE_SUBSCRIPTIONS).decrement(1);
        let mut state = self.hub.lock();
        state.followers.remove(&self.id);
        for index in state.indexes(&self.filter) {
            index.remove(&self.id);
        }
        let customer = self.filter.customer_id;
        if let Some(id) = customer
            && state.by_customer.get(&id).is_some_and(HashSet::is_empty)
        {
            state.by_customer.remove(&id);
        }
    }
}

impl Shared {
    fn put(&self, update: Update) {
        let mut content = self.lock();
        if content.behind {
            return;
        }
        if content.updates.len() < MAILBOX_SIZE {
            content.updates.push_back(update);
            drop(content);
            self.arrived.notify_one();
        } else {
            drop(content);
            self.lag();
        }
    }

    fn lag(&self) {
        let mut content = self.lock();
        content.updates = VecDeque::new();
        content.behind = true;
        drop(content);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Mail> {
        let mut content = self.lock();
        if content.behind {
            return Some(Mail::Behind);
        }
        content.updates.pop_front().map(Mail::Update)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::live::hub::tests::an_order_at;

    const NOW: Timestamp = Timestamp::from_millis(9);

    fn hub() -> Updates {
        let hub = Updates::default();
        let none = PartitionPlace { next: 0, print: 0 };
        hub.begin(TopicPlace {
            at: NOW,
            partitions: vec![none],
        });
        hub
    }

    fn publish(hub: &Updates, versions: impl IntoIterator<Item = u32>) {
        for version in versions {
            let next = hub.lock().place.as_ref().expect("begun").partitions[0].next + 1;
            let record = PartitionPlace { next, print: 1 };
            hub.publish(0, record, NOW, &Arc::new(an_order_at(version)));
        }
    }

    /// What is there now: the versions and places told.
    fn told(mailbox: &Mailbox) -> Vec<(u32, i64)> {
        std::iter::from_fn(|| mailbox.next().now_or_never())
            .map(|mail| match mail {
                Mail::Update(update) => (update.order.version, update.place.partitions[0].next),
                Mail::Behind => panic!("nothing was dropped"),
            })
            .collect()
    }

    fn filter(customer: bool, statuses: &[OrderStatus]) -> OrderFilter {
        OrderFilter {
            customer_id: customer.then(|| an_order_at(1).customer_id),
            statuses: statuses.to_vec(),
        }
    }

    #[test]
    fn each_is_told_what_it_follows_once_and_where_it_stands_then() {
        use OrderStatus::{Confirmed, Paid, Shipped};

        let hub = hub();
        let stranger = "user_01939f2e-7b1c-7def-8a34-000000000000";
        let stranger = OrderFilter {
            customer_id: Some(stranger.parse().expect("an id")),
            statuses: vec![],
        };
        let followers: Vec<_> = [
            (filter(false, &[]), (1..=6).map(|n| (n, n.into())).collect()),
            (filter(true, &[]), (1..=6).map(|n| (n, n.into())).collect()),
            (filter(false, &[Confirmed, Shipped]), vec![(2, 2), (5, 5)]),
            (filter(true, &[Paid, Paid]), vec![(3, 3)]),
            (stranger, vec![]),
        ]
        .into_iter()
        .map(|(filter, expected)| (hub.follow(filter), expected))
        .collect();
        publish(&hub, 1..=6);
        for (mailbox, expected) in &followers {
            assert_eq!(told(mailbox), *expected, "{:?}", mailbox.filter);
        }
        drop(followers);
        let state = hub.lock();
        assert!(state.followers.is_empty() && state.by_customer.is_empty());
        assert!(state.of_all.is_empty() && state.by_status.values().all(HashSet::is_empty));
    }

    #[test]
    fn who_follows_later_begins_where_the_topic_stands() {
        let hub = hub();
        publish(&hub, 1..=2);
        let mailbox = hub.follow(filter(false, &[]));
        let start = mailbox.start().expect("the topic is read");
        assert_eq!(start.partitions[0].next, 2);
        publish(&hub, [3]);
        assert_eq!(told(&mailbox), [(3, 3)]);
    }

    #[test]
    fn who_falls_behind_holds_nothing_and_is_told_nothing_more_until_it_follows_anew() {
        let hub = hub();
        let slow = hub.follow(filter(false, &[]));
        publish(&hub, (0..=MAILBOX_SIZE).map(|_| 1));
        publish(&hub, [2]);
        assert_eq!(slow.next().now_or_never(), Some(Mail::Behind));
        assert_eq!(slow.next().now_or_never(), Some(Mail::Behind));
        let anew = slow.anew();
        publish(&hub, [3]);
        assert_eq!(told(&anew).len(), 1);
    }

    #[test]
    fn whatever_may_have_cost_a_record_sends_everyone_to_the_topic() {
        let hub = hub();
        let mailbox = hub.follow(filter(true, &[]));
        let record = PartitionPlace { next: 1, print: 0 };
        hub.skip(0, record, NOW);
        assert_eq!(mailbox.next().now_or_never(), Some(Mail::Behind));
        let mailbox = mailbox.anew();
        assert_eq!(
            mailbox.start().map(|start| start.partitions[0]),
            Some(record)
        );
        let further = PartitionPlace { next: 3, print: 1 };
        hub.publish(0, further, NOW, &Arc::new(an_order_at(1)));
        let mail = mailbox.next().now_or_never();
        assert_eq!(mail, Some(Mail::Behind), "2 is not there");
        let mailbox = mailbox.anew();
        hub.end();
        assert_eq!(mailbox.next().now_or_never(), Some(Mail::Behind));
        assert_eq!(mailbox.anew().start(), None);
    }
}

//! A batch, folded to the newest state per document. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use shop_core::bus::Outcome;
use shop_core::domain::{Order, OrderId, Product, ProductId, StockLevel, User, UserId, Version};
use shop_core::events::{Encoding, Envelope, Event, Payload, Topic, WireRecord};
use shop_core::views::Written;

/// The newest state of each document of one view.
#[derive(Debug)]
pub struct Newest<K, S> {
    states: Vec<S>,
    known: HashMap<K, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    place: usize,
    version: Version,
}

impl<K, S> Default for Newest<K, S> {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, S: Clone> Newest<K, S> {
    /// Takes a state in. Returns the document's place, and whether the state is newer than all before it.
    fn add(&mut self, id: K, version: Version, state: &S) -> (usize, bool) {
        match self.known.get_mut(&id) {
            None => {
                let place = self.states.len();
                self.known.insert(id, Known { place, version });
                self.states.push(state.clone());
                (place, true)
            }
            Some(known) if known.version < version => {
                known.version = version;
                self.states[known.place] = state.clone();
                (known.place, true)
            }
            Some(known) => (known.place, false),
        }
    }

    /// The states, in the order in which their documents first came.
    pub fn states(&self) -> &[S] {
        &self.states
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Users,
    Products,
    StockLevels,
    Orders,
}

/// What one record did to the fold.
#[derive(Debug, Clone, Copy)]
struct Part {
    view: View,
    place: usize,
    is_news: bool,
}

/// A folded batch.
#[derive(Debug, Default)]
pub struct Folded {
    /// The users in it.
    pub users: Newest<UserId, User>,
    /// The products in it.
    pub products: Newest<ProductId, Product>,
    /// The stock levels in it.
    pub stock_levels: Newest<ProductId, StockLevel>,
    /// The orders in it.
    pub orders: Newest<OrderId, Order>,
    /// One per record; `None` for one that is no view's business.
    parts: Vec<Option<Part>>,
}

/// What became of each document, at the places of [`Newest::states`].
#[derive(Debug, Default)]
pub struct WrittenViews {
    /// The users.
    pub users: Vec<Written>,
    /// The products.
    pub products: Vec<Written>,
    /// The stock levels.
    pub stock_levels: Vec<Written>,
    /// The orders.
    pub orders: Vec<Written>,
}

/// Folds a batch. A state event of unknown type is folded by its state.
pub fn fold(batch: &[Envelope]) -> Folded {
    let mut folded = Folded::default();
    for Envelope { event, .. } in batch {
        let (view, (place, is_news)) = match &event.payload {
            Payload::User(user) => (View::Users, folded.users.add(user.id, user.version, user)),
            Payload::Product(product) => (
                View::Products,
                folded.products.add(product.id, product.version, product),
            ),
            Payload::StockLevel(level) => (
                View::StockLevels,
                folded
                    .stock_levels
                    .add(level.product_id, level.version, level),
            ),
            Payload::Order(order) => (
                View::Orders,
                folded.orders.add(order.id, order.version, order),
            ),
            Payload::Stock(_) => {
                folded.parts.push(None);
                continue;
            }
        };
        folded.parts.push(Some(Part {
            view,
            place,
            is_news,
        }));
    }
    folded
}

impl Folded {
    /// What became of each record. A state that a newer one of the same batch replaced before it was written has had its
    /// effect, as part of the newer one.
    pub fn outcomes(&self, written: &WrittenViews) -> Vec<Outcome> {
        let outcome = |part: &Option<Part>| {
            let Some(part) = part else {
                return Outcome::Refused;
            };
            let document = match part.view {
                View::Users => written.users.get(part.place),
                View::Products => written.products.get(part.place),
                View::StockLevels => written.stock_levels.get(part.place),
                View::Orders => written.orders.get(part.place),
            };
            if part.is_news && document == Some(&Written::Applied) {
                Outcome::Applied
            } else {
                Outcome::Duplicate
            }
        };
        self.parts.iter().map(outcome).collect()
    }
}

/// What to tell live subscribers once the batch is written: every order event, and the newest level of each product.
pub fn statuses(batch: &[Envelope], encoding: Encoding) -> Vec<(Topic, WireRecord)> {
    let mut newest_levels: HashMap<ProductId, &Event> = HashMap::new();
    for Envelope { event, .. } in batch {
        if let Payload::StockLevel(level) = &event.payload {
            let newest = newest_levels.entry(level.product_id).or_insert(event);
            if newest.version() < level.version {
                *newest = event;
            }
        }
    }
    let is_newest = |level: &StockLevel, event: &Event| {
        newest_levels
            .get(&level.product_id)
            .is_some_and(|newest| std::ptr::eq(*newest, event))
    };
    batch
        .iter()
        .filter_map(|Envelope { event, .. }| match &event.payload {
            Payload::Order(_) => Some((Topic::OrderStatus, event.encode(encoding))),
            Payload::StockLevel(level) if is_newest(level, event) => {
                Some((Topic::StockStatus, event.encode(encoding)))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use shop_core::events::Source;
    use shop_core::events::wire::header;
    use shop_core::testkit::Histories;

    use super::*;

    /// Events as the log would hold them: one partition per topic.
    fn log(events: impl IntoIterator<Item = Event>) -> Vec<Envelope> {
        let events = events.into_iter().enumerate();
        events
            .map(|(place, event)| {
                let offset = i64::try_from(place).unwrap_or(i64::MAX);
                let topic = event.aggregate_type().topic();
                Envelope {
                    source: Source {
                        topic,
                        partition: 0,
                        offset,
                    },
                    event,
                }
            })
            .collect()
    }

    /// The levels of one product by version.
    fn levels(versions: &[Version]) -> Vec<Envelope> {
        let mut histories = Histories::new(1);
        let level = histories.stock_level()[0];
        let events: Vec<Event> = versions
            .iter()
            .map(|version| {
                histories.stock_level_event(&StockLevel {
                    version: *version,
                    ..level
                })
            })
            .collect();
        log(events)
    }

    fn version_of(record: &WireRecord) -> Option<&str> {
        let header = record
            .headers
            .iter()
            .find(|(name, _)| *name == header::AGGREGATE_VERSION);
        header.map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_newest_state_wins_whatever_the_order() {
        for versions in [[1, 2, 3], [3, 2, 1], [2, 3, 2], [3, 3, 3]] {
            let batch = levels(&versions);
            let folded = fold(&batch);
            assert_eq!(folded.stock_levels.states().len(), 1);
            assert_eq!(folded.stock_levels.states()[0].version, 3, "{versions:?}");
        }
    }

    #[test]
    fn what_rises_is_applied_and_what_does_not_is_a_duplicate() {
        use Outcome::{Applied, Duplicate};

        let batch = levels(&[2, 2, 1, 4, 3]);
        let folded = fold(&batch);
        let written = |written| WrittenViews {
            stock_levels: vec![written],
            ..Default::default()
        };
        assert_eq!(
            folded.outcomes(&written(Written::Applied)),
            [Applied, Duplicate, Duplicate, Applied, Duplicate]
        );
        assert_eq!(
            folded.outcomes(&written(Written::Duplicate)),
            vec![Duplicate; 5]
        );
    }

    #[test]
    fn each_record_is_judged_by_its_own_document() {
        let mut histories = Histories::new(2);
        let (user, product) = (histories.user()[0].clone(), histories.product()[0].clone());
        let (order, other) = (histories.order()[0].clone(), histories.order()[0].clone());
        let batch = log([
            histories.order_event(&order),
            histories.user_event(&user),
            histories.order_event(&other),
            histories.product_event(&product),
        ]);
        let folded = fold(&batch);
        assert_eq!(folded.orders.states(), [order, other]);
        let written = WrittenViews {
            users: vec![Written::Duplicate],
            products: vec![Written::Applied],
            stock_levels: vec![],
            orders: vec![Written::Duplicate, Written::Applied],
        };
        let expected = [
            Outcome::Duplicate,
            Outcome::Duplicate,
            Outcome::Applied,
            Outcome::Applied,
        ];
        assert_eq!(folded.outcomes(&written), expected);
    }

    #[test]
    fn every_order_event_has_a_status_in_the_order_of_the_log() {
        let mut histories = Histories::new(3);
        let history = std::iter::repeat_with(|| histories.order())
            .find(|history| history.len() > 3)
            .expect("chance makes a long one");
        let mut events: Vec<Event> = history
            .iter()
            .map(|order| histories.order_event(order))
            .collect();
        events.push(events[1].clone()); // a late repeat
        let user = histories.user().swap_remove(0);
        let expected: Vec<(Topic, WireRecord)> = events
            .iter()
            .map(|event| (Topic::OrderStatus, event.encode(Encoding::Binary)))
            .collect();
        events.insert(2, histories.user_event(&user)); // has none
        assert_eq!(statuses(&log(events), Encoding::Binary), expected);
    }

    #[test]
    fn only_the_newest_level_of_a_product_has_a_status() {
        let batch = levels(&[1, 3, 3, 2]);
        let statuses = statuses(&batch, Encoding::Json);
        let [(Topic::StockStatus, record)] = &statuses[..] else {
            panic!("{statuses:?}")
        };
        assert_eq!(version_of(record), Some("3"));
    }
}

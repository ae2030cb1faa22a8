//! Compares what subscribers were told with what happened.

use std::collections::HashSet;

use serde::Serialize;
use uuid::Uuid;

use super::board::{Item, Pages, Told, Topic, Why};
use super::truth::Truth;

/// The invariant of what subscribers are told.
pub const TOLD: u8 = 9;
/// How many subscribers are named.
const NAMED: usize = 10;

/// From where on a subscriber of an order is owed every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// From version 1: it was there before anything happened.
    All,
    /// From the first that it was told.
    FromFirst,
}

/// What became of subscribers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Items that subscribers of one order were told.
    pub items: usize,
    /// How many of them were told after the event.
    pub caught_up: usize,
    /// Versions that a subscriber of its order was not told.
    pub missed: usize,
    /// How many subscribers missed one.
    pub missed_by: usize,
    /// Versions that a subscriber was told once more.
    pub doubled: usize,
    /// Items that came after a newer one.
    pub disordered: usize,
    /// Items whose status is not that of the timeline, or of a version that there is not.
    pub untrue: usize,
    /// Items that followers of all orders were told.
    pub feed_items: usize,
    /// How many of them were repeats, which are allowed.
    pub feed_repeats: usize,
    /// Versions that a follower was not told.
    pub feed_missed: usize,
    /// The first subscribers with a wrong story.
    #[serde(skip)]
    pub wrong: Vec<String>,
}

/// Counts what subscribers were told, and what not.
pub fn tally(pages: &Pages, truth: &Truth, owed: Owed) -> Tally {
    let mut tally = Tally::default();
    for (number, told) in pages.told.iter().enumerate() {
        let problem = match told.topic {
            Topic::Order(order) => tally.add_order(told, order, truth, owed),
            Topic::Feed => tally.add_feed(told, truth),
        };
        if let Some(problem) = problem.filter(|_| tally.wrong.len() < NAMED) {
            tally.wrong.push(format!("subscriber {number}: {problem}"));
        }
    }
    tally
}

/// Whether a subscriber was told all that there is to tell; cheap enough to ask again and again.
pub fn has_all(told: &Told, truth: &Truth) -> bool {
    match told.topic {
        Topic::Order(order) => told.newest() >= truth.versions(order),
        Topic::Feed => {
            let all = truth.all_versions();
            told.items.len() >= all && known(&told.items, truth).len() >= all
        }
    }
}

fn known(items: &[Item], truth: &Truth) -> HashSet<(Uuid, u32)> {
    let items = items.iter().filter(|item| truth.knows(item.order));
    items.map(|item| (item.order, item.version)).collect()
}

impl Tally {
    fn add_order(&mut self, told: &Told, order: Uuid, truth: &Truth, owed: Owed) -> Option<String> {
        let versions: Vec<u32> = told.items.iter().map(|item| item.version).collect();
        let seen: HashSet<u32> = versions.iter().copied().collect();
        let first = match owed {
            Owed::All => 1,
            Owed::FromFirst => versions.first().copied().unwrap_or(1),
        };
        let owed = first..=truth.versions(order);
        let missed = owed.filter(|version| !seen.contains(version)).count();
        let doubled = versions.len() - seen.len();
        let disordered = versions.windows(2).filter(|two| two[1] < two[0]).count();
        let untrue = self.add_untrue(&told.items, truth);

        self.items += versions.len();
        let late = told.items.iter().filter(|item| item.why == Why::Missed);
        self.caught_up += late.count();
        self.missed += missed;
        self.missed_by += usize::from(missed > 0);
        self.doubled += doubled;
        self.disordered += disordered;
        (missed + doubled + disordered + untrue > 0).then(|| {
            let told: Vec<String> = told.items.iter().map(told_as).collect();
            format!(
                "order_{order}, which has {} versions, was told as {}",
                truth.versions(order),
                told.join(", ")
            )
        })
    }

    fn add_feed(&mut self, told: &Told, truth: &Truth) -> Option<String> {
        let mine: Vec<Item> = told
            .items
            .iter()
            .filter(|item| truth.knows(item.order))
            .cloned()
            .collect();
        let seen = known(&mine, truth);
        let untrue = self.add_untrue(&mine, truth);
        let true_ones = seen
            .iter()
            .filter(|(order, version)| truth.status(*order, *version).is_some());
        let missed = truth.all_versions() - true_ones.count();
        self.feed_items += mine.len();
        self.feed_repeats += mine.len() - seen.len();
        self.feed_missed += missed;
        (missed + untrue > 0).then(|| format!("a feed without {missed} versions, {untrue} untrue"))
    }

    fn add_untrue(&mut self, items: &[Item], truth: &Truth) -> usize {
        let is_untrue = |item: &&Item| truth.status(item.order, item.version) != Some(&item.status);
        let untrue = items.iter().filter(is_untrue).count();
        self.untrue += untrue;
        untrue
    }
}

fn told_as(item: &Item) -> String {
    format!("{} {} ({:?})", item.version, item.status, item.why)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn item(order: Uuid, version: u32, status: &str) -> Item {
        Item {
            order,
            version,
            status: status.to_owned(),
            why: Why::Live,
            at: Instant::now(),
            delay_ms: 1,
        }
    }

    fn pages(topic: Topic, items: Vec<Item>) -> Pages {
        let told = Told {
            topic,
            begun: true,
            at_copy: None,
            items,
        };
        Pages {
            told: vec![told],
            ..Pages::default()
        }
    }

    #[test]
    fn gaps_repeats_disorder_and_lies_are_counted() {
        let order = Uuid::from_u128(1);
        let truth = Truth::of(order, &["A", "B", "C"]);
        // What was told; then: missed, doubled, disordered, untrue.
        for (told, expected) in [
            (&[(1, "A"), (2, "B"), (3, "C")][..], [0, 0, 0, 0]),
            (&[(1, "A"), (3, "C")], [1, 0, 0, 0]),
            (&[(1, "A"), (2, "B"), (2, "B"), (3, "C")], [0, 1, 0, 0]),
            (&[(1, "A"), (3, "C"), (2, "B")], [0, 0, 1, 0]),
            (&[(1, "A"), (2, "X"), (3, "C"), (4, "D")], [0, 0, 0, 2]),
            (&[], [3, 0, 0, 0]),
        ] {
            let items = told.iter().map(|(n, status)| item(order, *n, status));
            let pages = pages(Topic::Order(order), items.collect());
            let found = tally(&pages, &truth, Owed::All);
            let counts = [found.missed, found.doubled, found.disordered, found.untrue];
            assert_eq!(counts, expected, "{told:?}");
            assert_eq!(found.wrong.is_empty(), expected == [0; 4], "{told:?}");
        }
    }

    #[test]
    fn who_came_later_is_owed_what_follows() {
        let order = Uuid::from_u128(1);
        let truth = Truth::of(order, &["A", "B", "C"]);
        let pages = pages(Topic::Order(order), vec![item(order, 2, "B")]);
        assert_eq!(tally(&pages, &truth, Owed::FromFirst).missed, 1);
        assert_eq!(tally(&pages, &truth, Owed::All).missed, 2);
        assert!(!has_all(&pages.told[0], &truth));
    }

    #[test]
    fn a_feed_may_repeat_and_tell_of_others_but_leaves_nothing_out() {
        let (order, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let truth = Truth::of(order, &["A", "B"]);
        let mut items = vec![
            item(order, 1, "A"),
            item(other, 1, "A"),
            item(order, 1, "A"),
        ];
        let found = tally(&pages(Topic::Feed, items.clone()), &truth, Owed::All);
        assert_eq!((found.feed_items, found.feed_repeats), (2, 1));
        assert_eq!((found.feed_missed, found.wrong.len()), (1, 1));
        items.push(item(order, 2, "B"));
        let pages = pages(Topic::Feed, items);
        assert_eq!(tally(&pages, &truth, Owed::All).feed_missed, 0);
        assert!(has_all(&pages.told[0], &truth));
    }
}

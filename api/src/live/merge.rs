//! From states of one order, in any order and number, to each newer version exactly once, in order. Pure.

use shop_core::domain::{Order, Version};

/// What a watcher of one order has been told so far.
///
/// An order's state tells all its earlier ones ([`Order::at_version`]), so one newer state fills every gap before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merge {
    told: Version,
}

/// What follows from one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Tell these, oldest first; empty if all were told before.
    Tell(Vec<Order>),
    /// The state lacks an entry of its own timeline; nothing is told until a state that has it comes from the view.
    Incomplete,
}

impl Merge {
    /// The newest version that was told; 0 before the first.
    pub const fn told(self) -> Version {
        self.told
    }

    /// The first state: told as it is, whatever came before it.
    pub const fn snapshot(&mut self, order: &Order) {
        self.told = order.version;
    }

    /// Goes on after a version that was told to the same client before.
    pub const fn go_on_after(&mut self, version: Version) {
        self.told = version;
    }

    /// Takes a state that is the next one and told as it is. Whether it was.
    pub fn is_next(&mut self, order: &Order) -> bool {
        let newest = order.timeline.last().map(|entry| entry.version);
        let is_next = order.version == self.told + 1 && newest == Some(order.version);
        if is_next {
            self.told = order.version;
        }
        is_next
    }

    /// Takes one state, whether it is new, a repeat, out of order or far ahead.
    pub fn offer(&mut self, order: &Order) -> Offer {
        let missed: Option<Vec<Order>> = (self.told + 1..=order.version)
            .map(|version| order.at_version(version))
            .collect();
        match missed {
            None => Offer::Incomplete,
            Some(missed) => {
                self.told = self.told.max(order.version);
                Offer::Tell(missed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::hub::tests::an_order_at;

    /// The versions told, and nothing else about them.
    fn told(offer: Offer) -> Vec<Version> {
        match offer {
            Offer::Tell(orders) => orders.iter().map(|order| order.version).collect(),
            Offer::Incomplete => panic!("a complete state was called incomplete"),
        }
    }

    fn merge_after(version: Version) -> Merge {
        let mut merge = Merge::default();
        merge.snapshot(&an_order_at(version));
        merge
    }

    #[test]
    fn the_next_version_is_told_as_it_is() {
        let mut merge = merge_after(1);
        assert_eq!(
            merge.offer(&an_order_at(2)),
            Offer::Tell(vec![an_order_at(2)])
        );
    }

    #[test]
    fn a_repeat_and_what_is_older_than_the_snapshot_are_not_told() {
        let mut merge = merge_after(3);
        for version in [1, 2, 3, 3, 1] {
            assert!(told(merge.offer(&an_order_at(version))).is_empty());
        }
        assert_eq!(merge.told(), 3);
    }

    #[test]
    fn a_gap_is_filled_with_the_states_as_they_were() {
        let mut merge = merge_after(1);
        let expected = (2..=5).map(an_order_at).collect();
        assert_eq!(merge.offer(&an_order_at(5)), Offer::Tell(expected));
        assert!(told(merge.offer(&an_order_at(4))).is_empty());
    }

    #[test]
    fn a_state_without_its_own_timeline_tells_nothing_until_the_view_does() {
        let mut merge = merge_after(1);
        let mut holed = an_order_at(4);
        holed.timeline.remove(1);
        assert_eq!(merge.offer(&holed), Offer::Incomplete);
        assert_eq!(merge.told(), 1);
        assert_eq!(told(merge.offer(&an_order_at(4))), [2, 3, 4]);
    }

    #[test]
    fn whatever_arrives_in_whatever_order_each_version_is_told_once_and_in_order() {
        // A generator with a fixed seed, so that a failure can be heard again: Numerical Recipes' linear congruence.
        let mut seed: u32 = 2_463_534_242;
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..2_000 {
            let first = 1 + random(6);
            let mut merge = merge_after(first);
            let mut heard = Vec::new();
            let mut newest = first;
            for _ in 0..random(30) {
                let version = 1 + random(6);
                newest = newest.max(version);
                heard.extend(told(merge.offer(&an_order_at(version))));
            }
            assert_eq!(heard, (first + 1..=newest).collect::<Vec<_>>());
        }
    }
}

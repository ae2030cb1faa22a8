//! Judges what became of subscribers whose tokens ran out.

use std::time::{Duration, Instant};

use super::board::{Item, Pages};
use super::goal::Goal;
use super::goal::Should::{Be, BeAtLeast, BeAtMost};

/// The close code of somebody who may not go on.
pub const FORBIDDEN: u16 = 4403;
/// Within which time after its token somebody is to be gone, in ms.
const CLOSE_BOUND_MS: usize = 1_000;
/// What was sent in time may be read so much later.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// An order that is confirmed was confirmed before anybody came.
const CONFIRMED: u32 = 2;

/// What became of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lapse {
    /// Whether it was told of a change as long as its token was good.
    was_told: bool,
    /// Items that it was told after that.
    late: usize,
    /// By how much its connection outlived the token, or not, in ms; `None` if that did not end.
    outlived_ms: Option<i64>,
    /// The close code, if the server said goodbye.
    code: Option<u16>,
}

impl Lapse {
    /// What became of a subscriber whose token was good until then.
    pub fn of(pages: &Pages, subscriber: usize, until: Instant) -> Self {
        let items = pages.told.get(subscriber).map(|told| told.items.as_slice());
        let (late, in_time): (Vec<&Item>, Vec<&Item>) = items
            .unwrap_or_default()
            .iter()
            .partition(|item| is_late(item, until));
        let mut endings = pages.endings.iter();
        let ending = endings.find(|ending| ending.subscriber == subscriber);
        Self {
            was_told: in_time.iter().any(|item| item.version > CONFIRMED),
            late: late.len(),
            outlived_ms: ending.map(|ending| since_ms(until, ending.at)),
            code: ending.and_then(|ending| ending.code),
        }
    }
}

/// Whether an item tells of what happened when the token was good no more, or was sent then.
fn is_late(item: &Item, until: Instant) -> bool {
    let happened_ms = since_ms(until, item.at) - item.delay_ms;
    happened_ms >= 0 || item.at > until + ON_ITS_WAY
}

/// From one moment to another, in ms; negative if that was before.
fn since_ms(moment: Instant, at: Instant) -> i64 {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match at.checked_duration_since(moment) {
        Some(after) => millis(after),
        None => -millis(moment - at),
    }
}

/// What is to become of all of them.
pub fn goals(lapses: &[Lapse]) -> Vec<Goal> {
    let count = |holds: fn(&Lapse) -> bool| lapses.iter().filter(|lapse| holds(lapse)).count();
    let closed = count(|lapse| lapse.code == Some(FORBIDDEN));
    let early = count(|lapse| lapse.outlived_ms.is_some_and(|ms| ms < 0));
    let outlived = lapses.iter().filter_map(|lapse| lapse.outlived_ms);
    let slowest = outlived.filter_map(|ms| usize::try_from(ms).ok()).max();
    let told = count(|lapse| lapse.was_told);
    let late = lapses.iter().map(|lapse| lapse.late).sum();
    vec![
        Goal::new("not renewed: closed with 4403", closed, Be(lapses.len())),
        Goal::new("not renewed: closed before the token ran out", early, Be(0)),
        Goal::new(
            "not renewed: closed after it, ms, the slowest",
            slowest.unwrap_or_default(),
            BeAtMost(CLOSE_BOUND_MS),
        ),
        Goal::new(
            "not renewed: told of a change before that",
            told,
            BeAtLeast(lapses.len().div_ceil(2)),
        ),
        Goal::new("not renewed: items told after that", late, Be(0)),
    ]
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::board::{Ending, Told, Topic, Why};
    use super::super::goal::missed;
    use super::*;

    /// Somebody whose token was good for 5 s, who was told items and gone at these ms after the beginning.
    fn lapse(items: &[(u64, i64)], end: Option<(u64, Option<u16>)>) -> Lapse {
        let (begin, order) = (Instant::now(), Uuid::from_u128(1));
        let at = |ms| begin + Duration::from_millis(ms);
        let item = |(version, (ms, delay_ms)): (u32, &(u64, i64))| Item {
            order,
            version,
            status: "PAID".to_owned(),
            why: Why::Live,
            at: at(*ms),
            delay_ms: *delay_ms,
        };
        let told = Told {
            topic: Topic::Order(order),
            begun: true,
            at_copy: None,
            items: (CONFIRMED..).zip(items).map(item).collect(),
        };
        let ending = |(ms, code)| Ending {
            subscriber: 0,
            copy: 0,
            at: at(ms),
            code,
        };
        let pages = Pages {
            told: vec![told],
            endings: end.map(ending).into_iter().collect(),
            ..Pages::default()
        };
        Lapse::of(&pages, 0, at(5_000))
    }

    #[test]
    fn who_is_gone_at_once_and_is_told_no_more_reaches_every_goal() {
        // The second item was on its way when the token ran out.
        let one = lapse(&[(100, 10), (5_050, 60)], Some((5_020, Some(4403))));
        assert_eq!(missed(&goals(&[one])), [""; 0]);
    }

    #[test]
    fn whatever_is_told_or_stays_open_too_long_is_noticed() {
        let good = [(100, 10), (4_000, 10)];
        for (items, end, expected) in [
            (&good[..], None, "closed with 4403"),
            (&good, Some((5_010, Some(1001))), "closed with 4403"),
            (&good, Some((4_900, Some(4403))), "before the token ran out"),
            (&good, Some((6_100, Some(4403))), "ms, the slowest"),
            (&good[..1], Some((5_010, Some(4403))), "told of a change"),
            // It happened when the token was good, and came long after that.
            (
                &[(100, 10), (5_900, 950)],
                Some((5_950, Some(4403))),
                "items told",
            ),
            // It happened when the token was good no more.
            (
                &[(100, 10), (5_050, 20)],
                Some((5_060, Some(4403))),
                "items told",
            ),
        ] {
            let missed = missed(&goals(&[lapse(items, end)]));
            let found = missed.iter().any(|problem| problem.contains(expected));
            assert!(found, "{expected}: {missed:?}");
        }
    }
}

//! What is parked, and when its time comes.

use super::*;
use crate::events::Topic;

const P0: Partition = (Topic::Orders, 0);
const P1: Partition = (Topic::Orders, 1);
const MANY: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);

fn ledger(reopens: bool) -> Ledger {
    let retry = Retry {
        first_wait: SECOND,
        max_elapsed: 300 * SECOND,
    };
    Ledger::new(reopens, retry)
}

fn lane(partition: Partition, key: &str) -> Lane {
    Lane {
        partition,
        key: Some(key.into()),
    }
}

fn parked(lane: &Lane, offset: i64, state: State) -> Parked {
    Parked {
        lane: lane.clone(),
        offset,
        bytes: 10,
        state,
    }
}

/// A ledger in which a key is closed by offset 5, with 7 and 9 behind it.
fn closed(reopens: bool, now: Instant) -> (Ledger, Lane) {
    let mut ledger = ledger(reopens);
    let lane = lane(P0, "a");
    let failing = ledger.failing(now, 0.5);
    ledger.park(
        [
            parked(&lane, 5, failing),
            parked(&lane, 7, State::Behind),
            parked(&lane, 9, State::Behind),
        ],
        now,
    );
    (ledger, lane)
}

fn p0(offset: i64) -> Source {
    at(P0, offset)
}

fn tries(due: &Due) -> Vec<i64> {
    due.tries.iter().map(|source| source.offset).collect()
}

#[test]
fn a_key_is_closed_from_its_first_record_on_and_no_other_is() {
    let (ledger, a) = closed(false, Instant::now());
    let closes = |lane: &Lane, offset| ledger.closes(lane, offset);
    assert!(!closes(&a, 4) && closes(&a, 5) && closes(&a, 6) && closes(&a, 100));
    assert!(!closes(&lane(P0, "b"), 6) && !closes(&lane(P1, "a"), 6));
    for key in [None, Some(Vec::new())] {
        let lane = Lane { partition: P0, key };
        assert!(!closes(&lane, 6), "{lane:?}");
    }
}

#[test]
fn the_first_record_alone_is_tried_until_it_is_given_up() {
    let now = Instant::now();
    let (mut ledger, a) = closed(false, now);
    let mut at = now;
    for wait in [1, 2, 4, 8, 16] {
        assert_eq!(ledger.next_due(), Some(at + wait * SECOND));
        assert_eq!(ledger.due(at, MANY, MANY), Due::default());
        at += wait * SECOND;
        assert_eq!(tries(&ledger.due(at, MANY, MANY)), [5]);
        let failed = ledger.failed(p0(5), at, 0.5).expect("it is parked");
        let next = (wait < 16).then_some(2 * wait * SECOND);
        assert_eq!(failed.wait, next, "after a wait of {wait} s");
    }
    let due = ledger.due(at, MANY, MANY);
    assert_eq!((due.letters, due.tries), (vec![p0(5)], vec![]));
    assert_eq!(ledger.next_due(), None, "it is on its way");
    assert!(!ledger.sent(p0(5), at), "it stays");
    assert_eq!(ledger.next_due(), None, "nobody tries a dead letter");
    assert!(ledger.closes(&a, 10));
}

#[test]
fn what_waits_behind_follows_in_order_as_soon_as_the_first_is_out_of_the_way() {
    let now = Instant::now();
    let (mut ledger, a) = closed(false, now);
    ledger.remove([p0(5)], now);
    assert!(ledger.closes(&a, 10));
    assert_eq!(tries(&ledger.due(now, MANY, MANY)), [7, 9]);
    // The first of them fails for the first time: the other one waits again.
    let failed = ledger.failed(p0(7), now, 0.5).expect("it is parked");
    assert_eq!((failed.tries, failed.wait), (0, Some(SECOND)));
    assert_eq!(ledger.due(now, MANY, MANY), Due::default());
    assert_eq!(tries(&ledger.due(now + SECOND, MANY, MANY)), [7]);
    ledger.remove([p0(7)], now);
    assert_eq!(tries(&ledger.due(now, MANY, MANY)), [9]);
    ledger.remove([p0(9)], now);
    assert!(!ledger.closes(&a, 10) && ledger.is_empty());
    assert_eq!(ledger.next_due(), None);
}

#[test]
fn no_more_is_due_at_once_than_there_is_room_for() {
    let now = Instant::now();
    let mut ledger = ledger(false);
    let (a, b) = (lane(P0, "a"), lane(P1, "b"));
    ledger.park((1..=4).map(|offset| parked(&a, offset, State::Behind)), now);
    ledger.park([parked(&b, 1, State::Behind)], now);
    assert_eq!(ledger.due(now, 3, MANY).tries.len(), 3);
    assert_eq!(ledger.due(now, MANY, 11).tries.len(), 2);
    assert_eq!(ledger.due(now, MANY, 1).tries.len(), 1, "at least one");
    assert_eq!(ledger.due(now, MANY, MANY).tries.len(), 5);
}

#[test]
fn a_letter_that_is_not_taken_is_sent_again_later() {
    let now = Instant::now();
    let (mut ledger, _) = closed(false, now);
    for _ in 0..5 {
        ledger.failed(p0(5), now, 0.5);
    }
    assert_eq!(ledger.due(now, MANY, MANY).letters, [p0(5)]);
    ledger.not_sent(p0(5), now, SECOND);
    assert_eq!(ledger.due(now, MANY, MANY), Due::default());
    assert_eq!(ledger.due(now + SECOND, MANY, MANY).letters, [p0(5)]);
}

#[test]
fn a_record_that_is_parked_twice_stays_where_it_is_on_its_way() {
    let now = Instant::now();
    let (mut ledger, a) = closed(false, now);
    ledger.failed(p0(5), now, 0.5);
    let due = ledger.next_due();
    ledger.park(
        [parked(&a, 5, State::Behind), parked(&a, 7, State::Behind)],
        now,
    );
    assert_eq!((ledger.len(), ledger.next_due()), (3, due));
}

#[test]
fn a_lost_partition_is_forgotten_and_learned_again() {
    let now = Instant::now();
    let (mut ledger, a) = closed(false, now);
    let other = lane(P1, "a");
    ledger.park([parked(&other, 5, State::Dead)], now);
    ledger.forget(P0);
    assert_eq!((ledger.len(), ledger.next_due()), (1, None));
    assert!(!ledger.closes(&a, 10) && ledger.closes(&other, 10));
    // Given up by whoever had it before, who could not send it any more.
    let due = now + SECOND;
    ledger.park([parked(&a, 5, State::Failing { tries: 5, due })], now);
    assert_eq!(ledger.due(due, MANY, MANY).letters, [p0(5)]);
}

#[test]
fn an_operator_opens_a_key_or_drops_a_record() {
    let now = Instant::now();
    let (mut ledger, a) = closed(false, now);
    let stored = |state| BTreeMap::from([(5, state)]);
    for _ in 0..5 {
        ledger.failed(p0(5), now, 0.5);
    }
    ledger.due(now, MANY, MANY);
    assert_eq!(
        ledger.compare(P0, &BTreeMap::new(), now),
        (0, false),
        "one that is on its way is left alone"
    );
    ledger.sent(p0(5), now);
    assert_eq!(ledger.compare(P0, &stored(State::Dead), now), (0, false));
    assert_eq!(ledger.next_due(), None);
    let redriven = State::Failing { tries: 0, due: now };
    assert_eq!(ledger.compare(P0, &stored(redriven), now), (0, false));
    assert_eq!(tries(&ledger.due(now, MANY, MANY)), [5]);
    assert_eq!(ledger.compare(P0, &BTreeMap::new(), now), (1, false));
    assert_eq!(tries(&ledger.due(now, MANY, MANY)), [7, 9]);
    assert!(ledger.closes(&a, 10));
    let unknown = BTreeMap::from([(3, State::Dead)]);
    assert_eq!(ledger.compare(P0, &unknown, now), (0, true));
}

#[test]
fn where_later_states_suffice_no_key_is_closed_and_every_record_is_tried_on_its_own() {
    let now = Instant::now();
    let mut ledger = ledger(true);
    let a = lane(P0, "a");
    let failing = ledger.failing(now, 0.5);
    ledger.park([parked(&a, 5, failing), parked(&a, 7, failing)], now);
    assert!(!ledger.closes(&a, 10));
    assert_eq!(tries(&ledger.due(now + SECOND, MANY, MANY)), [5, 7]);
}

#[test]
fn a_later_state_makes_what_is_parked_before_it_obsolete() {
    let now = Instant::now();
    let mut ledger = ledger(true);
    let a = lane(P0, "a");
    let failing = ledger.failing(now, 0.5);
    ledger.park(
        [
            parked(&a, 4, State::Dead),
            parked(&a, 5, failing),
            parked(&a, 9, failing),
        ],
        now,
    );
    assert_eq!(ledger.supersede(&a, 8, now), [p0(4)], "the dead one goes");
    ledger.remove([p0(4)], now);
    assert_eq!(tries(&ledger.due(now, MANY, MANY)), [5], "one more try");
    assert_eq!(ledger.failed(p0(5), now, 0.5).and_then(|it| it.wait), None);
    assert_eq!(ledger.due(now, MANY, MANY).letters, [p0(5)]);
    assert!(ledger.sent(p0(5), now), "it goes, once it is a dead letter");
    ledger.remove([p0(5)], now);
    assert_eq!(ledger.len(), 1, "what came later stays");
}

/// Whatever fails and whenever, records of a key are handled in their order, each once, and none is lost.
#[test]
fn chance_changes_no_order() {
    for seed in 0..300 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut ledger = ledger(false);
        let keys = ["a", "b", "c"];
        let mut sent: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut handled: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut key_of: BTreeMap<i64, &str> = BTreeMap::new();
        let mut offset = 0;
        let mut steps = 0;
        while offset < 60 || !ledger.is_empty() {
            steps += 1;
            assert!(steps < 5_000, "seed {seed}: it does not come to an end");
            let luck = offset >= 60 || chance.u8(..3) > 0;
            if offset < 60 && chance.bool() {
                let key = *chance.choice(&keys).expect("there are some");
                let lane = lane(P0, key);
                sent.entry(key).or_default().push(offset);
                key_of.insert(offset, key);
                if ledger.closes(&lane, offset) {
                    ledger.park([parked(&lane, offset, State::Behind)], now);
                } else if luck {
                    handled.entry(key).or_default().push(offset);
                } else {
                    let failing = ledger.failing(now, chance.f64());
                    ledger.park([parked(&lane, offset, failing)], now);
                }
                offset += 1;
                continue;
            }
            now += Duration::from_millis(chance.u64(..4_000));
            let due = ledger.due(now, chance.usize(1..9), MANY);
            let mut stuck = BTreeSet::new();
            for source in due.tries {
                let key = key_of[&source.offset];
                if stuck.contains(key) {
                    continue;
                }
                if offset >= 60 || chance.u8(..3) > 0 {
                    handled.entry(key).or_default().push(source.offset);
                    ledger.remove([source], now);
                } else {
                    ledger.failed(source, now, chance.f64());
                    stuck.insert(key);
                }
            }
            for letter in due.letters {
                ledger.sent(letter, now);
                // The operator opens the key at once.
                let open = State::Failing { tries: 0, due: now };
                ledger.set(letter, open, now);
            }
        }
        assert_eq!(handled, sent, "seed {seed}");
    }
}

//! Invariants 1 and 6: every version of an aggregate has its event, in the outbox or in its topic, and in order. Pure.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use shop_core::bus::{Extents, Trace};
use shop_core::db::outbox_again::Entry;
use shop_core::domain::{OrderId, ProductId, Timestamp, UserId, Version};
use shop_core::events::{AggregateType, Topic};
use uuid::Uuid;

use super::Violation;

/// An aggregate by kind and id.
pub type Subject = (AggregateType, Uuid);

/// How much earlier than its retention says a topic may lose a record without that being a finding.
const RETENTION_MARGIN_MS: i64 = 3_600_000;

/// The public form of an aggregate's id.
pub fn name(subject: Subject) -> String {
    match subject.0 {
        AggregateType::User => UserId::from_uuid(subject.1).to_string(),
        AggregateType::Product | AggregateType::StockLevel => {
            ProductId::from_uuid(subject.1).to_string()
        }
        AggregateType::Order | AggregateType::Stock => OrderId::from_uuid(subject.1).to_string(),
    }
}

/// What its topic holds of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    first: Version,
    next: Version,
    partition: i32,
}

/// What the topics hold. Small for what it stands for: an event is a number here.
#[derive(Debug, Default)]
pub struct Log {
    seen: HashMap<Subject, Seen>,
    events: HashSet<u64>,
    /// Topics that have lost their oldest records to age.
    trimmed: HashSet<Topic>,
    violations: Vec<Violation>,
    /// How many records there are.
    pub records: u64,
    /// How many of them say neither whose nor which event they are.
    pub unreadable: u64,
}

fn number(subject: Subject, version: Version, event: Uuid) -> u64 {
    let mut hasher = DefaultHasher::new();
    (subject, version, event).hash(&mut hasher);
    hasher.finish()
}

fn aggregate_of(topic: Topic) -> Option<AggregateType> {
    AggregateType::ALL
        .into_iter()
        .find(|kind| kind.topic() == topic)
}

impl Log {
    /// Nothing yet.
    pub fn new(extents: &Extents) -> Self {
        let trimmed = extents
            .iter()
            .filter(|(_, extent)| extent.begin > 0)
            .map(|((topic, _), _)| *topic)
            .collect();
        Self {
            trimmed,
            ..Self::default()
        }
    }

    /// Takes a record in; in the order of each partition.
    pub fn take(&mut self, trace: &Trace) {
        self.records += 1;
        let source = trace.source;
        let (Some(kind), Some(key), Some(version), Some(event)) = (
            aggregate_of(source.topic),
            trace.key,
            trace.version,
            trace.event_id,
        ) else {
            self.unreadable += 1;
            return;
        };
        let subject = (kind, key);
        let is_new = self.events.insert(number(subject, version, event));
        let topic = source.topic;
        let mut say = |invariant, problem: String| {
            let problem = format!("topic {topic}: {problem}");
            self.violations
                .push(Violation::new(invariant, name(subject), problem));
        };
        match self.seen.entry(subject) {
            MapEntry::Vacant(entry) => {
                entry.insert(Seen {
                    first: version,
                    next: version + 1,
                    partition: source.partition,
                });
            }
            MapEntry::Occupied(mut entry) => {
                let seen = entry.get_mut();
                if seen.partition != source.partition {
                    say(6, "is in several partitions".to_owned());
                }
                if version > seen.next {
                    let (partition, offset) = (source.partition, source.offset);
                    say(
                        6,
                        format!(
                            "version {version} at {partition}:{offset} comes before version {}",
                            seen.next
                        ),
                    );
                }
                if is_new && (seen.first..seen.next).contains(&version) {
                    say(1, format!("another event of version {version}, {event}"));
                }
                seen.next = seen.next.max(version + 1);
            }
        }
    }

    /// The newest version that its topic holds.
    pub fn newest(&self, subject: Subject) -> Option<Version> {
        self.seen.get(&subject).map(|seen| seen.next - 1)
    }
}

/// What the write side says of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its version.
    pub version: Version,
    /// When it came to be, if that is known.
    pub created: Option<Timestamp>,
}

/// The outbox beside the log and the rows.
pub struct Announced<'a> {
    log: &'a Log,
    rows: &'a HashMap<Subject, Row>,
    /// Versions in the outbox that are not in the topic.
    waiting: HashMap<Subject, BTreeSet<Version>>,
    /// Versions in the outbox below the first one in the topic.
    before: HashMap<Subject, Version>,
    oldest_sent: Option<Timestamp>,
    now: Timestamp,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// How many rows the outbox has.
    pub entries: u64,
}

impl<'a> Announced<'a> {
    /// Nothing yet. In: the time by the clock that marks rows.
    pub fn new(log: &'a Log, rows: &'a HashMap<Subject, Row>, now: Timestamp) -> Self {
        Self {
            log,
            rows,
            waiting: HashMap::new(),
            before: HashMap::new(),
            oldest_sent: None,
            now,
            violations: log.violations.clone(),
            entries: 0,
        }
    }

    fn say(&mut self, invariant: u8, subject: Subject, problem: &str) {
        let problem = format!("{}: {problem}", subject.0.as_str());
        self.violations
            .push(Violation::new(invariant, name(subject), problem));
    }

    /// Takes a row of the outbox in.
    pub fn take(&mut self, entry: &Entry) {
        self.entries += 1;
        let subject = (entry.aggregate_type, entry.aggregate_id);
        let version = entry.version;
        let row = self.rows.get(&subject).map_or(0, |row| row.version);
        if version > row {
            let problem = format!("the outbox has version {version}, the row only {row}");
            self.say(1, subject, &problem);
        }
        let logged = self
            .log
            .events
            .contains(&number(subject, version, entry.event_id.uuid()));
        if let Some(sent_at) = entry.sent_at {
            self.oldest_sent = Some(
                self.oldest_sent
                    .map_or(sent_at, |oldest| oldest.min(sent_at)),
            );
            let topic = subject.0.topic();
            let kept = topic.retention_ms() - RETENTION_MARGIN_MS;
            let may_be_gone =
                self.log.trimmed.contains(&topic) && self.now.millis() - sent_at.millis() > kept;
            if !logged && !may_be_gone {
                let event = entry.event_id;
                let problem = format!(
                    "{event} of version {version} is marked sent, topic {topic} has no such record"
                );
                self.say(1, subject, &problem);
            }
        }
        let seen = self.log.seen.get(&subject);
        if seen.is_none_or(|seen| version >= seen.next) {
            self.waiting.entry(subject).or_default().insert(version);
        } else if seen.is_some_and(|seen| version < seen.first) {
            let before = self.before.entry(subject).or_insert(version);
            *before = version.min(*before);
        }
    }

    /// What is left to say once all rows were taken in. Returns aggregates of which the topic has more than the row had
    /// when the rows were read: to be looked at again.
    pub fn close(&mut self) -> Vec<Subject> {
        let mut ahead = Vec::new();
        for (subject, row) in self.rows {
            let seen = self.log.seen.get(subject).copied();
            if seen.is_some_and(|seen| seen.next - 1 > row.version) {
                ahead.push(*subject);
            }
            let waiting = self.waiting.remove(subject).unwrap_or_default();
            let first = seen.map(|seen| seen.first).or(waiting.first().copied());
            let Some(first) = first else {
                if row.version > 0 && !self.log.trimmed.contains(&subject.0.topic()) {
                    let problem = format!(
                        "no version up to {} has an event, neither in the outbox nor in topic {}",
                        row.version,
                        subject.0.topic()
                    );
                    self.say(1, *subject, &problem);
                }
                continue;
            };
            let next = seen.map_or(first, |seen| seen.next);
            for version in (next..=row.version).filter(|version| !waiting.contains(version)) {
                let problem = format!(
                    "version {version} has no event, neither in the outbox nor in topic {}",
                    subject.0.topic()
                );
                self.say(1, *subject, &problem);
            }
            let first = self
                .before
                .get(subject)
                .map_or(first, |before| first.min(*before));
            if first > 1 && self.cannot_be_pruned(*subject, *row) {
                let problem = format!(
                    "its events begin with version {first}, in the outbox and in topic {}",
                    subject.0.topic()
                );
                self.say(1, *subject, &problem);
            }
        }
        ahead
    }

    /// Whether the first event must still be there: nothing is trimmed, and rows that were sent before it was made are.
    fn cannot_be_pruned(&self, subject: Subject, row: Row) -> bool {
        !self.log.trimmed.contains(&subject.0.topic())
            && row
                .created
                .zip(self.oldest_sent)
                .is_some_and(|(created, oldest)| created > oldest)
    }
}

#[cfg(test)]
mod tests {
    use shop_core::bus::Extent;
    use shop_core::domain::EventId;
    use shop_core::events::Source;

    use super::*;

    const SUBJECT: Subject = (AggregateType::Order, Uuid::from_u128(7));

    fn event(version: Version) -> Uuid {
        Uuid::from_u128(version.into())
    }

    fn log(begin: i64, versions: &[Version]) -> Log {
        let extents = Extents::from([((Topic::Orders, 0), Extent { begin, end: 99 })]);
        let mut log = Log::new(&extents);
        for (version, offset) in versions.iter().zip(0..) {
            log.take(&Trace {
                source: Source {
                    topic: Topic::Orders,
                    partition: 0,
                    offset,
                },
                key: Some(SUBJECT.1),
                version: Some(*version),
                event_id: Some(event(*version)),
            });
        }
        log
    }

    /// The problems of one order at a version, of which the outbox has these events.
    fn problems(log: &Log, version: Version, outbox: &[(Version, bool)]) -> Vec<(u8, String)> {
        let created = Some(Timestamp::from_millis(1_000));
        let rows = HashMap::from([(SUBJECT, Row { version, created })]);
        let mut announced = Announced::new(log, &rows, Timestamp::from_millis(9_000));
        // Something that was sent before the order was made, and is still there.
        announced.oldest_sent = Some(Timestamp::from_millis(500));
        for ((version, sent), seq) in outbox.iter().zip(1..) {
            announced.take(&Entry {
                seq,
                event_id: EventId::from_uuid(event(*version)),
                aggregate_type: SUBJECT.0,
                aggregate_id: SUBJECT.1,
                version: *version,
                sent_at: sent.then_some(Timestamp::from_millis(2_000)),
            });
        }
        announced.close();
        announced
            .violations
            .into_iter()
            .map(|violation| (violation.invariant, violation.problem))
            .collect()
    }

    #[test]
    fn what_is_sent_waits_or_is_pruned_is_fine() {
        let sent = [(1, true), (2, true), (3, false)];
        assert_eq!(problems(&log(0, &[1, 2]), 3, &sent), []);
        assert_eq!(problems(&log(0, &[1, 2, 3]), 3, &sent), []);
        assert_eq!(problems(&log(0, &[1, 2, 1, 2, 3]), 3, &[]), []);
        assert_eq!(problems(&log(5, &[3]), 3, &[]), [], "the topic is trimmed");
        assert_eq!(problems(&log(0, &[]), 2, &[(1, false), (2, false)]), []);
        // Kafka lost its data and everything was sent again, after a newer one.
        assert_eq!(
            problems(
                &log(0, &[3, 1, 2, 3]),
                3,
                &[(1, true), (2, true), (3, true)]
            ),
            []
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (log, version, outbox, invariant) in [
            (log(0, &[1, 3]), 3, &[][..], 6),
            (log(0, &[1]), 2, &[(1, true)], 1),
            (log(0, &[1]), 2, &[(1, true), (2, true)], 1),
            (log(0, &[1]), 3, &[(1, true), (3, false)], 1),
            (log(0, &[]), 1, &[], 1),
            (log(0, &[2]), 2, &[(2, true)], 1),
            (log(0, &[1]), 1, &[(1, true), (2, false)], 1),
        ] {
            let problems = problems(&log, version, outbox);
            assert!(
                problems.iter().any(|(found, _)| *found == invariant),
                "{problems:?} of {version} {outbox:?}"
            );
        }
    }

    #[test]
    fn two_events_of_one_version_are_named() {
        let mut log = log(0, &[1, 2]);
        log.take(&Trace {
            source: Source {
                topic: Topic::Orders,
                partition: 0,
                offset: 9,
            },
            key: Some(SUBJECT.1),
            version: Some(2),
            event_id: Some(event(77)),
        });
        assert_eq!(problems(&log, 2, &[]).len(), 1);
    }
}

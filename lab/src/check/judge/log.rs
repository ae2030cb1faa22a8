//! Invariants 1 and 6 in the topics: one logical event per outbox row, and versions that begin 1, 2, 3 in order.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::check::evidence::{Kind, Record};
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for kind in Kind::ALL {
        let records = evidence
            .log
            .get(kind.topic())
            .map(Vec::as_slice)
            .unwrap_or_default();
        first_occurrences(kind, kind.topic(), records, violations);
        same_as_outbox(evidence, kind, records, violations);
    }
    statuses(evidence, violations);
}

/// The records of each key, in the order of the log.
fn by_key(records: &[Record]) -> BTreeMap<Uuid, Vec<&Record>> {
    let mut keys: BTreeMap<Uuid, Vec<&Record>> = BTreeMap::new();
    for record in records {
        keys.entry(record.key).or_default().push(record);
    }
    for records in keys.values_mut() {
        records.sort_by_key(|record| (record.partition, record.offset));
    }
    keys
}

fn first_occurrences(kind: Kind, topic: &str, records: &[Record], violations: &mut Vec<Violation>) {
    for (key, records) in by_key(records) {
        let mut say = |problem: String| {
            violations.push(Violation::new(
                6,
                kind.id(key),
                format!("topic {topic}: {problem}"),
            ));
        };
        if records
            .iter()
            .any(|record| record.partition != records[0].partition)
        {
            say("is in several partitions".to_owned());
        }
        let mut next = 1;
        for record in &records {
            if record.version > next {
                let Record {
                    partition,
                    offset,
                    version,
                    ..
                } = record;
                say(format!(
                    "version {version} at {partition}:{offset} comes before version {next}"
                ));
                break;
            }
            if record.version == next {
                next += 1;
            }
        }
    }
}

fn same_as_outbox(
    evidence: &Evidence,
    kind: Kind,
    records: &[Record],
    violations: &mut Vec<Violation>,
) {
    let mut logged: HashMap<(Uuid, u32), Vec<&Record>> = HashMap::new();
    for record in records {
        logged
            .entry((record.key, record.version))
            .or_default()
            .push(record);
    }
    let topic = kind.topic();
    for row in evidence.write.outbox.iter().filter(|row| row.kind == kind) {
        let mut say = |problem: String| {
            violations.push(Violation::new(1, kind.id(row.id), problem));
        };
        let version = row.version;
        if !row.sent {
            say(format!(
                "outbox row {} (version {version}) is not marked sent",
                row.seq
            ));
        }
        let records = logged.remove(&(row.id, version)).unwrap_or_default();
        if records.is_empty() {
            say(format!("version {version} is not in topic {topic}"));
        }
        for record in records {
            if record.event_id != row.event_id || record.event_type != row.event_type {
                say(format!(
                    "version {version} is event {} ({}) in the outbox, {} ({}) at {}:{} of topic {topic}",
                    row.event_id,
                    row.event_type,
                    record.event_id,
                    record.event_type,
                    record.partition,
                    record.offset
                ));
            }
        }
    }
    for ((key, version), _) in logged {
        let problem = format!("topic {topic} has version {version}, the outbox does not");
        violations.push(Violation::new(1, kind.id(key), problem));
    }
}

/// Outbox rows that are in their topic more than once: a relay that was not disturbed sends each once.
pub(super) fn repeats(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    for kind in Kind::ALL {
        let mut times: BTreeMap<(Uuid, u32), usize> = BTreeMap::new();
        for record in evidence.log.get(kind.topic()).into_iter().flatten() {
            *times.entry((record.key, record.version)).or_default() += 1;
        }
        for ((id, version), times) in times.into_iter().filter(|(_, times)| *times > 1) {
            let problem = format!("version {version} was sent {times} times");
            violations.push(Violation::new(1, kind.id(id), problem));
        }
    }
    violations
}

/// What the projector publishes: each version of an order, and the newest of each level.
fn statuses(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let records = evidence
        .log
        .get("order-status")
        .map(Vec::as_slice)
        .unwrap_or_default();
    first_occurrences(Kind::Order, "order-status", records, violations);
    newest_is_there(evidence, Kind::Order, "order-status", records, violations);
    let records = evidence
        .log
        .get("stock-status")
        .map(Vec::as_slice)
        .unwrap_or_default();
    newest_is_there(
        evidence,
        Kind::StockLevel,
        "stock-status",
        records,
        violations,
    );
}

fn newest_is_there(
    evidence: &Evidence,
    kind: Kind,
    topic: &str,
    records: &[Record],
    violations: &mut Vec<Violation>,
) {
    let mut newest: HashMap<Uuid, u32> = HashMap::new();
    for record in records {
        let version = newest.entry(record.key).or_default();
        *version = record.version.max(*version);
    }
    for (id, entity) in evidence.write.all(kind) {
        let published = newest.remove(&id);
        if published != Some(entity.version) {
            let published = published.map_or("nothing".to_owned(), |v| format!("version {v}"));
            let problem = format!(
                "is at version {}, topic {topic} ends with {published}",
                entity.version
            );
            violations.push(Violation::new(6, kind.id(id), problem));
        }
    }
}

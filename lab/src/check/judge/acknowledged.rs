//! Invariants 1 and 2: what was acknowledged is in the tables and has its event; what was refused left nothing.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{list, number, text};
use crate::check::evidence::{Acknowledged, Kind};
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let events: HashSet<(Kind, Uuid, u32)> = evidence
        .write
        .outbox
        .iter()
        .map(|row| (row.kind, row.id, row.version))
        .collect();
    for acknowledged in &evidence.clients.acknowledged {
        if let Err(problem) = has_effect(evidence, &events, acknowledged) {
            let Acknowledged {
                mutation, kind, id, ..
            } = acknowledged;
            violations.push(Violation::new(
                1,
                kind.id(*id),
                format!("{mutation}: {problem}"),
            ));
        }
    }
    refused_payments(evidence, violations);
    every_version_has_an_event(evidence, &events, violations);
    no_order_from_nowhere(evidence, violations);
    for (key, outcomes) in &evidence.clients.outcomes {
        if outcomes.iter().any(|outcome| *outcome != outcomes[0]) {
            let problem = format!("was answered in different ways: {outcomes:?}");
            violations.push(Violation::new(2, format!("key {key}"), problem));
        }
    }
    for surprise in &evidence.clients.surprises {
        let problem = format!("got an answer that no fault explains: {surprise}");
        violations.push(Violation::new(1, "a client", problem));
    }
}

fn has_effect(
    evidence: &Evidence,
    events: &HashSet<(Kind, Uuid, u32)>,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    let Acknowledged {
        kind,
        id,
        version,
        status,
        reference,
        ..
    } = acknowledged;
    let entity = evidence
        .write
        .get(*kind, *id)
        .ok_or("was acknowledged, but there is no row")?;
    if let Some(version) = version {
        if entity.version < *version {
            return Err(format!(
                "answered version {version}, the row has {}",
                entity.version
            ));
        }
        if !events.contains(&(*kind, *id, *version)) {
            return Err(format!(
                "answered version {version}, of which the outbox has no event"
            ));
        }
    }
    let timeline = list(&entity.state, "timeline");
    if let Some(status) = status {
        let reached = timeline.iter().any(|entry| {
            text(entry, "to") == status
                && version.is_none_or(|version| number(entry, "version") == i64::from(version))
        });
        if !reached {
            return Err(format!(
                "answered {status} at version {version:?}, the row never had that"
            ));
        }
    }
    if let Some(reference) = reference
        && !list(&entity.state, "payments")
            .iter()
            .any(|paid| text(paid, "reference") == reference)
    {
        return Err(format!(
            "payment {reference} was acknowledged, but there is no row"
        ));
    }
    Ok(())
}

fn refused_payments(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for refused in &evidence.clients.refused_payments {
        let Some(order) = evidence.write.get(Kind::Order, refused.order) else {
            continue;
        };
        let recorded = list(&order.state, "payments")
            .iter()
            .any(|paid| text(paid, "reference") == refused.reference);
        if recorded {
            violations.push(Violation::new(
                1,
                Kind::Order.id(refused.order),
                format!(
                    "payment {} was refused ({}) and is recorded",
                    refused.reference, refused.code
                ),
            ));
        }
    }
}

fn every_version_has_an_event(
    evidence: &Evidence,
    events: &HashSet<(Kind, Uuid, u32)>,
    violations: &mut Vec<Violation>,
) {
    let entities = Kind::VIEWED.into_iter().flat_map(|kind| {
        evidence
            .write
            .all(kind)
            .map(move |(id, entity)| (kind, id, entity.version))
    });
    let holds = evidence
        .write
        .holds
        .iter()
        .map(|(id, hold)| (Kind::Stock, *id, hold.version));
    let mut versions = HashMap::new();
    for (kind, id, version) in entities.chain(holds) {
        versions.insert((kind, id), version);
        for missing in (1..=version).filter(|version| !events.contains(&(kind, id, *version))) {
            let problem = format!("version {missing} has no event in the outbox");
            violations.push(Violation::new(1, kind.id(id), problem));
        }
    }
    for (kind, id, version) in events {
        if versions
            .get(&(*kind, *id))
            .is_none_or(|newest| newest < version)
        {
            let problem =
                format!("the outbox has an event of version {version}, the row never had it");
            violations.push(Violation::new(1, kind.id(*id), problem));
        }
    }
}

fn no_order_from_nowhere(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let known: HashSet<Uuid> = evidence
        .clients
        .acknowledged
        .iter()
        .filter(|acknowledged| acknowledged.mutation == "createOrder")
        .map(|acknowledged| acknowledged.id)
        .collect();
    let others: Vec<Uuid> = evidence
        .write
        .all(Kind::Order)
        .map(|(id, _)| id)
        .filter(|id| !known.contains(id))
        .collect();
    if others.len() > evidence.clients.unknown_orders {
        let ids: Vec<String> = others
            .iter()
            .map(|id| Kind::Order.id(*id).to_string())
            .collect();
        let problem = format!(
            "{} orders that no client was told of, of only {} whose answer was lost",
            others.len(),
            evidence.clients.unknown_orders
        );
        violations.push(Violation::new(1, ids.join(" "), problem));
    }
}

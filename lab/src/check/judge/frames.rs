//! Invariant 9: a subscriber of one order sees rising versions without a gap and reaches the last.

use super::{list, number, text};
use crate::check::evidence::{Entity, Frame, Kind, Watched};
use crate::check::{Evidence, Violation};

pub(super) fn judge(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for watched in &evidence.clients.watched {
        let mut say = |problem: String| {
            violations.push(Violation::new(9, Kind::Order.id(watched.order), problem));
        };
        for error in &watched.errors {
            say(format!("the subscription failed: {error}"));
        }
        let Some(order) = evidence.write.get(Kind::Order, watched.order) else {
            continue; // said by invariant 1
        };
        sequence(watched, &mut say);
        for frame in watched.connections.iter().flatten() {
            if let Err(problem) = tells_the_truth(frame, order) {
                say(problem);
            }
        }
        match watched.last_version() {
            Some(version) if version == order.version => {}
            Some(version) => {
                say(format!(
                    "the subscriber saw version {version} last, the row is at {}",
                    order.version
                ));
            }
            None => say("the subscriber saw nothing".to_owned()),
        }
    }
}

/// Within a connection each version once, in order, whatever the snapshot began with; a later connection's snapshot is
/// never older than what was seen.
fn sequence(watched: &Watched, say: &mut impl FnMut(String)) {
    let mut seen = 0;
    for (number, frames) in watched.connections.iter().enumerate() {
        let mut versions = frames.iter().map(|frame| frame.version);
        let Some(snapshot) = versions.next() else {
            continue;
        };
        if snapshot < seen {
            say(format!(
                "connection {number} began with version {snapshot} after version {seen}"
            ));
        }
        seen = snapshot;
        for version in versions {
            if version != seen + 1 {
                let what = if version <= seen { "a repeat" } else { "a gap" };
                say(format!(
                    "version {version} came after version {seen}: {what}"
                ));
            }
            seen = version;
        }
    }
}

fn tells_the_truth(frame: &Frame, order: &Entity) -> Result<(), String> {
    let Frame {
        version,
        previous,
        status,
        order_version,
        order_status,
    } = frame;
    let entry = list(&order.state, "timeline")
        .iter()
        .find(|entry| number(entry, "version") == i64::from(*version))
        .ok_or_else(|| format!("a frame of version {version}, which the row never had"))?;
    let (from, to) = (entry["from"].as_str(), text(entry, "to"));
    if status != to || previous.as_deref() != from {
        return Err(format!(
            "the frame of version {version} says {previous:?} to {status}, the row {from:?} to {to}"
        ));
    }
    if order_version != version || order_status != status {
        return Err(format!(
            "the frame of version {version} ({status}) came with the order at {order_version} ({order_status})"
        ));
    }
    Ok(())
}

//! The outbox relay: reads where unsent rows can be, sends, marks; one leads, the other stands by.

use std::sync::Arc;

use shop_consumers::outbox_relay::position::{HORIZON, Position};
use shop_core::events::Event;

use crate::plant::Plant;
use crate::shop::Shop;

/// One copy of the program.
#[derive(Debug)]
pub struct Relay {
    number: usize,
    batch: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// It asks for the lock.
    Standby,
    /// It leads, as far as it knows.
    Leading(Position),
    /// Rows are in the producer's queue, the first few of them in the log.
    Sending {
        position: Position,
        rows: Vec<(u64, Arc<Event>)>,
        sent: usize,
    },
}

/// Who holds the lock, and what it remembers only if it is wrong.
#[derive(Debug, Default)]
pub struct Lock {
    holder: Option<usize>,
    last_sent: u64,
}

impl Lock {
    /// The server closes the holder's connection.
    pub fn take_away(&mut self) -> bool {
        self.holder.take().is_some()
    }
}

impl Relay {
    /// A copy that has begun.
    pub fn new(number: usize, batch: usize) -> Self {
        Self {
            number,
            batch,
            phase: Phase::Standby,
        }
    }

    /// It dies and starts again.
    pub fn crash(&mut self, shop: &mut Shop, lock: &mut Lock) -> bool {
        shop.note(|| format!("relay {} crashes", self.number));
        if lock.holder == Some(self.number) {
            lock.holder = None;
        }
        self.phase = Phase::Standby;
        true
    }

    /// The next step of the loop.
    pub fn step(&mut self, shop: &mut Shop, lock: &mut Lock) -> bool {
        let holds = lock.holder == Some(self.number);
        match std::mem::replace(&mut self.phase, Phase::Standby) {
            Phase::Standby => {
                if lock.holder.is_some() {
                    return false;
                }
                lock.holder = Some(self.number);
                shop.note(|| format!("relay {} leads", self.number));
                self.phase = Phase::Leading(survey(shop));
            }
            // Its connection is gone, and it notices with the next statement.
            Phase::Leading(_) if !holds => {}
            Phase::Leading(mut position) => {
                let rows = self.read(shop, lock, &position);
                if rows.len() < self.batch {
                    position.found_all(shop.instant());
                }
                if rows.is_empty() {
                    self.phase = Phase::Leading(position);
                    return false;
                }
                let seqs: Vec<u64> = rows.iter().map(|(seq, _)| *seq).collect();
                shop.note(|| format!("relay {} reads {seqs:?}", self.number));
                if shop.planted(Plant::MarkFirst) {
                    mark(shop, &seqs);
                }
                self.phase = Phase::Sending {
                    position,
                    rows,
                    sent: 0,
                };
            }
            Phase::Sending {
                position,
                rows,
                mut sent,
            } if sent < rows.len() => {
                let upto = shop.rng.usize(sent + 1..=rows.len());
                while sent < upto {
                    produce(shop, &rows[sent].1);
                    sent += 1;
                }
                self.phase = Phase::Sending {
                    position,
                    rows,
                    sent,
                };
            }
            Phase::Sending {
                mut position, rows, ..
            } => {
                if !holds {
                    shop.note(|| format!("relay {} finds out that it leads no more", self.number));
                    return true;
                }
                let seqs: Vec<u64> = rows.iter().map(|(seq, _)| *seq).collect();
                mark(shop, &seqs);
                shop.note(|| format!("relay {} marks {seqs:?}", self.number));
                position.sent(&seqs, shop.instant());
                lock.last_sent = seqs.into_iter().max().unwrap_or(lock.last_sent);
                self.phase = Phase::Leading(position);
            }
        }
        true
    }

    fn read(&self, shop: &Shop, lock: &Lock, position: &Position) -> Vec<(u64, Arc<Event>)> {
        let ranges = position.ranges();
        let after_last = shop.planted(Plant::SeqGreater);
        shop.mysql
            .outbox
            .iter()
            .filter(|(seq, row)| {
                row.sent_at.is_none()
                    && if after_last {
                        **seq > lock.last_sent
                    } else {
                        ranges.iter().any(|range| range.contains(seq))
                    }
            })
            .take(self.batch)
            .map(|(seq, row)| (*seq, Arc::clone(&row.event)))
            .collect()
    }
}

/// What `Outlook::survey` asks of MySQL, asked of the simulated one.
fn survey(shop: &Shop) -> Position {
    let outbox = &shop.mysql.outbox;
    let newest = outbox.keys().next_back().copied().unwrap_or_default();
    let long_ago = shop.clock - i64::try_from(HORIZON.as_millis()).unwrap_or(i64::MAX);
    let settled = outbox
        .iter()
        .filter_map(|(seq, row)| Some((row.sent_at?, *seq)))
        .filter(|(sent_at, _)| *sent_at < long_ago)
        .max()
        .map_or(0, |(_, seq)| seq);
    let mut position = Position::after(settled);
    let sent: Vec<u64> = outbox
        .range(settled + 1..)
        .filter(|(_, row)| row.sent_at.is_some())
        .map(|(seq, _)| *seq)
        .collect();
    position.sent(&sent, shop.instant());
    position.seen_up_to(newest, shop.instant());
    for (seq, row) in outbox.range(..=settled) {
        if row.sent_at.is_none() {
            position.reopen(&(*seq..=*seq), shop.instant());
        }
    }
    position
}

fn mark(shop: &mut Shop, seqs: &[u64]) {
    let now = shop.clock;
    for seq in seqs {
        if let Some(row) = shop.mysql.outbox.get_mut(seq) {
            row.sent_at = Some(now);
        }
    }
}

fn produce(shop: &mut Shop, event: &Arc<Event>) {
    shop.note(|| {
        format!(
            "  into the log: {} {} version {}",
            event.kind,
            event.aggregate_id(),
            event.version()
        )
    });
    if let Err(what) = shop.kafka.produce(event) {
        shop.violated("first occurrences in a topic are in order", what);
    }
}

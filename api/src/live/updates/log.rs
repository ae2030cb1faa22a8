//! The topic `order-status`, read again from where a follower stands.
//!
//! One reading is short: it ends where the follower's mailbox begins, or once it has as much as a follower may hold, and its
//! Kafka client is closed before anything is told. So a slow client holds no reader, and readers are few at a time.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use shop_core::bus::{BusError, Extents, Observer, Offsets, Replay, TailItem};
use shop_core::events::{Payload, Source, Topic};
use shop_core::runtime::settings::KafkaSettings;
use shop_core::views::OrderFilter;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::hub::{Update, matches};
use crate::graphql::error::ApiError;
use crate::live::cursor::{PartitionPlace, TopicPlace, print_of};

/// How many read at once; the others wait for their turn.
const READERS: usize = 4;
/// How long one may wait for its turn, or for a record.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records that somebody may have missed, at most; who missed more does better to ask for everything.
const MISSED_AT_MOST: i64 = 200_000;
/// Updates that one reading keeps, at most.
const KEPT: usize = 512;
/// Records that are taken at once.
const BATCH: usize = 256;
/// How long a look for records waits.
const LOOK: Duration = Duration::from_millis(500);

/// Reads what was missed. Clones share the bound.
#[derive(Clone)]
pub struct StatusLog {
    settings: KafkaSettings,
    observer: Arc<OnceLock<Observer>>,
    turns: Arc<Semaphore>,
}

/// What a reading brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    /// The stretch, or the beginning of it.
    Read(Stretch),
    /// The place is not in the topic any more, or in another topic of that name: what was missed can not be told.
    Gone,
}

/// A part of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// What was asked for of it, in the order of each partition.
    pub found: Vec<Found>,
    /// Where it ends.
    pub end: TopicPlace,
    /// Whether that is where it was to end.
    pub is_whole: bool,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An update.
    Update(Update),
    /// A record that can not be read, and the place after it.
    Unreadable(Arc<TopicPlace>),
}

/// What is read of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// The first offset that is read: one before what was missed, if it can be compared.
    from: i64,
    /// The offset at which it ends.
    to: i64,
}

impl StatusLog {
    /// A reader; connects when it is first needed.
    pub fn new(settings: &KafkaSettings) -> Self {
        Self {
            settings: settings.clone(),
            observer: Arc::default(),
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Reads from a place to another one, as far as a follower can hold what it asks for.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] if Kafka is away, or too many read.
    pub async fn read(
        &self,
        after: &TopicPlace,
        until: &TopicPlace,
        filter: &OrderFilter,
    ) -> Result<Missed, ApiError> {
        if after.partitions == until.partitions {
            return Ok(Missed::Read(Stretch::empty(after, until)));
        }
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        let _turn = turn.map_err(ApiError::unavailable)?;
        let extents = self.observer()?.extents(&[Topic::OrderStatus]).await;
        let extents = extents.map_err(ApiError::unavailable)?;
        let Some(spans) = spans(after, until, &extents) else {
            return Ok(Missed::Gone);
        };
        let mut reading = Reading::new(after, until, filter, spans);
        if reading.is_done() {
            return Ok(Missed::Read(reading.stretch()));
        }
        let mut replay =
            Replay::open(&self.settings, &reading.offsets()).map_err(ApiError::unavailable)?;
        let mut heard = Instant::now();
        while !reading.is_done() {
            let items = match replay.next(BATCH, LOOK).await {
                Ok(items) => items,
                // Retention was faster.
                Err(BusError::Fatal(_)) => return Ok(Missed::Gone),
                Err(error) => return Err(ApiError::unavailable(error)),
            };
            if !items.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                let silence = anyhow::anyhow!("the topic brought nothing for {PATIENCE:?}");
                return Err(ApiError::unavailable(silence));
            }
            for item in items {
                if !reading.take(item) {
                    return Ok(Missed::Gone);
                }
                if reading.is_done() {
                    break;
                }
            }
        }
        Ok(Missed::Read(reading.stretch()))
    }

    fn observer(&self) -> Result<&Observer, ApiError> {
        if let Some(observer) = self.observer.get() {
            return Ok(observer);
        }
        let made = Observer::new(&self.settings, "api").map_err(ApiError::internal)?;
        Ok(self.observer.get_or_init(|| made))
    }
}

impl Stretch {
    /// Nothing was missed.
    fn empty(after: &TopicPlace, until: &TopicPlace) -> Self {
        let at = after.at.max(until.at);
        let partitions = until.partitions.clone();
        Self {
            found: Vec::new(),
            end: TopicPlace { at, partitions },
            is_whole: true,
        }
    }
}

/// What is to be read of each partition; `None` if it is not there, or not the topic that the place is in.
fn spans(after: &TopicPlace, until: &TopicPlace, extents: &Extents) -> Option<Vec<Option<Span>>> {
    let count = after.partitions.len();
    if count != until.partitions.len() || count != extents.len() {
        return None;
    }
    let mut missed = 0_i64;
    let mut spans = Vec::with_capacity(count);
    for (extent, (after, until)) in extents
        .values()
        .zip(after.partitions.iter().zip(&until.partitions))
    {
        let is_known = after.print != 0 && after.next > 0;
        let is_same = after == until;
        let from = after.next - i64::from(is_known && !is_same);
        if !is_same && (from < extent.begin || after.next > extent.end) {
            return None;
        }
        let to = after.next.max(until.next);
        missed = missed.saturating_add(to - after.next);
        spans.push((to > from).then_some(Span { from, to }));
    }
    (missed <= MISSED_AT_MOST).then_some(spans)
}

/// A reading under way.
struct Reading<'a> {
    after: &'a TopicPlace,
    filter: &'a OrderFilter,
    left: Vec<Option<Span>>,
    place: TopicPlace,
    found: Vec<Found>,
}

impl<'a> Reading<'a> {
    fn new(
        after: &'a TopicPlace,
        until: &TopicPlace,
        filter: &'a OrderFilter,
        left: Vec<Option<Span>>,
    ) -> Self {
        let mut place = after.clone();
        for (own, other) in place.partitions.iter_mut().zip(&until.partitions) {
            if own.next == other.next && own.print == 0 {
                own.print = other.print;
            }
        }
        Self {
            after,
            filter,
            left,
            place,
            found: Vec::new(),
        }
    }

    fn is_done(&self) -> bool {
        self.found.len() >= KEPT || self.left.iter().all(Option::is_none)
    }

    /// Where to begin.
    fn offsets(&self) -> Offsets {
        let spans = (0..).zip(&self.left);
        spans
            .filter_map(|(partition, span)| Some(((Topic::OrderStatus, partition), (*span)?.from)))
            .collect()
    }

    /// Takes one record; false if it shows that this is another topic.
    fn take(&mut self, item: TailItem) -> bool {
        let (source, event) = match item {
            TailItem::Event(envelope) => (envelope.source, Some(envelope.event)),
            TailItem::Skipped { source, .. } => (source, None),
        };
        let Source {
            partition, offset, ..
        } = source;
        let Some(index) = usize::try_from(partition).ok() else {
            return true;
        };
        let (Some(after), Some(Some(span))) =
            (self.after.partitions.get(index), self.left.get(index))
        else {
            return true;
        };
        if offset >= span.to {
            self.left[index] = None;
            return true;
        }
        if offset + 1 >= span.to {
            self.left[index] = None;
        }
        let print = event.as_ref().map_or(0, |event| print_of(event.id));
        if offset < after.next {
            return print == after.print;
        }
        let at = event.as_ref().map_or(self.place.at, |event| event.time);
        let record = PartitionPlace {
            next: offset + 1,
            print,
        };
        self.place = self.place.after(partition, record, at);
        match event.map(|event| event.payload) {
            Some(Payload::Order(order)) if matches(self.filter, &order) => {
                self.found.push(Found::Update(Update {
                    order: Arc::from(order),
                    place: Arc::new(self.place.clone()),
                }));
            }
            Some(_) => {}
            None => {
                let place = Arc::new(self.place.clone());
                self.found.push(Found::Unreadable(place));
            }
        }
        true
    }

    fn stretch(self) -> Stretch {
        Stretch {
            is_whole: self.left.iter().all(Option::is_none),
            found: self.found,
            end: self.place,
        }
    }
}

#[cfg(test)]
mod tests {
    use shop_core::bus::Extent;
    use shop_core::domain::Timestamp;

    use super::*;

    fn place(partitions: &[(i64, u32)]) -> TopicPlace {
        let partitions = partitions.iter();
        TopicPlace {
            at: Timestamp::from_millis(0),
            partitions: partitions
                .map(|&(next, print)| PartitionPlace { next, print })
                .collect(),
        }
    }

    fn extents(all: &[(i64, i64)]) -> Extents {
        (0..)
            .zip(all)
            .map(|(partition, &(begin, end))| {
                ((Topic::OrderStatus, partition), Extent { begin, end })
            })
            .collect()
    }

    #[test]
    fn what_was_missed_is_read_with_the_record_before_it() {
        let (after, until) = (
            place(&[(5, 7), (5, 0), (3, 9), (0, 0)]),
            place(&[(9, 1), (6, 1), (3, 9), (0, 0)]),
        );
        let span = |from, to| Some(Span { from, to });
        assert_eq!(
            spans(&after, &until, &extents(&[(4, 9), (5, 6), (3, 3), (0, 0)])),
            Some(vec![span(4, 9), span(5, 6), None, None])
        );
    }

    #[test]
    fn a_copy_that_is_behind_the_place_compares_the_record_before_it_alone() {
        let (after, until) = (place(&[(9, 7)]), place(&[(5, 1)]));
        let span = Some(Span { from: 8, to: 9 });
        assert_eq!(spans(&after, &until, &extents(&[(0, 9)])), Some(vec![span]));
    }

    #[test]
    fn a_place_that_is_not_in_the_topic_is_gone() {
        let until = place(&[(9, 1)]);
        for (after, extents) in [
            (place(&[(5, 7)]), extents(&[(5, 9)])), // retention took the record before it
            (place(&[(5, 0)]), extents(&[(6, 9)])), // and more
            (place(&[(5, 7)]), extents(&[(0, 4)])), // made anew, and shorter
            (place(&[(5, 7)]), extents(&[])),       // with other partitions
            (place(&[(5, 7)]), extents(&[(0, 9), (0, 9)])),
        ] {
            assert_eq!(spans(&after, &until, &extents), None, "{after:?}");
        }
        let most = MISSED_AT_MOST + 1;
        let long = extents(&[(0, most)]);
        assert_eq!(spans(&place(&[(0, 0)]), &place(&[(most, 1)]), &long), None);
    }
}

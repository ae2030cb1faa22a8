//! Where a client stands in a live stream, as a text that it keeps and gives back.
//!
//! The text is hexadecimal: opaque to clients, safe in a URL and as the id of a server-sent event. It begins with the kind of
//! stream and the number of its layout, so that a cursor of another stream is refused, and one that a later version of this
//! program wrote is known as a cursor, if not understood.

use shop_core::domain::{EventId, Order, OrderId, Timestamp, Version};

/// Kind of stream: one order's versions.
const ORDER: u8 = b'O';
/// Kind of stream: updates of many orders.
const UPDATES: u8 = b'U';
/// The layout that is written.
const LAYOUT: u8 = 1;

/// Why a text is not a cursor to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCursor {
    /// No stream of this kind gave it.
    #[error("expected a cursor as this subscription gave it")]
    Malformed,
    /// Another order's stream gave it.
    #[error("is the cursor of another order")]
    OtherOrder,
    /// It is ahead of what there is.
    #[error("is of version {0}, which has not come yet")]
    InTheFuture(Version),
}

/// A cursor, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<T> {
    /// The place that it names.
    Place(T),
    /// A cursor of this kind, in a layout of another version of the program.
    OtherLayout,
}

/// A place in the history of one order: the version that was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPlace {
    /// The version.
    pub version: Version,
    /// When that version was made: a history that has it at another time is another history, restored or made anew.
    pub at: Timestamp,
}

impl OrderPlace {
    /// Where somebody stands who was told an order's state.
    pub fn of(order: &Order) -> Self {
        Self {
            version: order.version,
            at: order.updated_at,
        }
    }

    /// As text for the client.
    pub fn encode(self, order_id: OrderId) -> String {
        let mut bytes = Vec::with_capacity(30);
        bytes.extend([ORDER, LAYOUT]);
        bytes.extend(order_id.uuid().as_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.at.millis().to_be_bytes());
        write(&bytes)
    }

    /// From a client's text, which must be of this order.
    ///
    /// # Errors
    /// [`BadCursor`].
    pub fn decode(text: &str, order_id: OrderId) -> Result<Known<Self>, BadCursor> {
        let bytes = read(text)?;
        let Some(rest) = of_kind(&bytes, ORDER)? else {
            return Ok(Known::OtherLayout);
        };
        let (id, rest) = rest.split_first_chunk::<16>().ok_or(BadCursor::Malformed)?;
        let (version, rest) = rest.split_first_chunk().ok_or(BadCursor::Malformed)?;
        let at = rest.try_into().map_err(|_| BadCursor::Malformed)?;
        let version = Version::from_be_bytes(*version);
        if version == 0 {
            return Err(BadCursor::Malformed);
        }
        if id != order_id.uuid().as_bytes() {
            return Err(BadCursor::OtherOrder);
        }
        let at = Timestamp::from_millis(i64::from_be_bytes(at));
        Ok(Known::Place(Self { version, at }))
    }
}

/// A place in the topic of statuses: how far each partition was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlace {
    /// The time of the newest event that was told, or when the stream began.
    pub at: Timestamp,
    /// By partition.
    pub partitions: Vec<PartitionPlace>,
}

/// How far one partition was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPlace {
    /// The offset of the next record.
    pub next: i64,
    /// What the record before it was, as [`print_of`] says; 0 if not known. A topic that was made anew has others.
    pub print: u32,
}

/// A number that tells one event from another. Never 0.
pub fn print_of(event: EventId) -> u32 {
    let [.., a, b, c, d] = *event.uuid().as_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

impl TopicPlace {
    /// As text for the client.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(10 + 12 * self.partitions.len());
        bytes.extend([UPDATES, LAYOUT]);
        bytes.extend(self.at.millis().to_be_bytes());
        for partition in &self.partitions {
            bytes.extend(partition.next.to_be_bytes());
            bytes.extend(partition.print.to_be_bytes());
        }
        write(&bytes)
    }

    /// From a client's text.
    ///
    /// # Errors
    /// [`BadCursor::Malformed`].
    pub fn decode(text: &str) -> Result<Known<Self>, BadCursor> {
        let bytes = read(text)?;
        let Some(rest) = of_kind(&bytes, UPDATES)? else {
            return Ok(Known::OtherLayout);
        };
        let (at, rest) = rest.split_first_chunk().ok_or(BadCursor::Malformed)?;
        let (places, odd) = rest.as_chunks::<12>();
        if places.is_empty() || !odd.is_empty() {
            return Err(BadCursor::Malformed);
        }
        let place = |[a, b, c, d, e, f, g, h, i, j, k, l]: &[u8; 12]| PartitionPlace {
            next: i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            print: u32::from_be_bytes([*i, *j, *k, *l]),
        };
        let partitions: Vec<_> = places.iter().map(place).collect();
        if partitions.iter().any(|place| place.next < 0) {
            return Err(BadCursor::Malformed);
        }
        let at = Timestamp::from_millis(i64::from_be_bytes(*at));
        Ok(Known::Place(Self { at, partitions }))
    }

    /// The same after one more record.
    #[must_use]
    pub fn after(&self, partition: i32, record: PartitionPlace, at: Timestamp) -> Self {
        let mut place = self.clone();
        place.at = place.at.max(at);
        let index = usize::try_from(partition).ok();
        if let Some(told) = index.and_then(|index| place.partitions.get_mut(index)) {
            *told = record;
        }
        place
    }
}

/// What follows the kind and the layout; `None` for another layout.
fn of_kind(bytes: &[u8], kind: u8) -> Result<Option<&[u8]>, BadCursor> {
    match bytes {
        [found, LAYOUT, rest @ ..] if *found == kind => Ok(Some(rest)),
        [found, _, ..] if *found == kind => Ok(None),
        _ => Err(BadCursor::Malformed),
    }
}

fn write(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can not fail
            text
        })
}

fn read(text: &str) -> Result<Vec<u8>, BadCursor> {
    // Digits and small letters only, so that one place has one spelling.
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(BadCursor::Malformed),
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return Err(BadCursor::Malformed);
    }
    pairs
        .iter()
        .map(|[high, low]| Ok(digit(*high)? * 16 + digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::hub::tests::an_order_at;

    #[test]
    fn an_orders_cursor_reads_back_and_is_of_that_order_alone() {
        let order = an_order_at(3);
        let place = OrderPlace::of(&order);
        let text = place.encode(order.id);
        assert_eq!(
            OrderPlace::decode(&text, order.id),
            Ok(Known::Place(place)),
            "{text}"
        );
        let other = "order_01939f2e-7b1c-7def-8a34-000000000000";
        let other = other.parse().expect("an id");
        assert_eq!(OrderPlace::decode(&text, other), Err(BadCursor::OtherOrder));
    }

    #[test]
    fn what_no_stream_gave_is_malformed_and_a_later_layout_is_known_as_one() {
        let order = an_order_at(3);
        let good = OrderPlace::of(&order).encode(order.id);
        let (short, long, capital) = (&good[2..], format!("{good}00"), good.to_uppercase());
        let of_a_list = format!("6f{}", &good[4..36]);
        let no_version = format!("{}00000000{}", &good[..36], &good[44..]);
        for text in [
            "",
            "4",
            "4f",
            "zz",
            "ü",
            "null",
            short,
            &long,
            &capital,
            &of_a_list,
            &no_version,
        ] {
            assert_eq!(
                OrderPlace::decode(text, order.id),
                Err(BadCursor::Malformed),
                "{text:?}"
            );
        }
        assert_eq!(OrderPlace::decode("4f02", order.id), Ok(Known::OtherLayout));
    }

    fn a_topic_place() -> TopicPlace {
        let partition = |next, print| PartitionPlace { next, print };
        TopicPlace {
            at: Timestamp::from_millis(1_763_633_730_250),
            partitions: vec![
                partition(0, 0),
                partition(7, 0xffff_ffff),
                partition(i64::MAX, 1),
            ],
        }
    }

    #[test]
    fn a_place_in_the_topic_reads_back_and_goes_on_one_partition_at_a_time() {
        let place = a_topic_place();
        assert_eq!(
            TopicPlace::decode(&place.encode()),
            Ok(Known::Place(place.clone()))
        );
        let record = PartitionPlace { next: 8, print: 2 };
        let next = place.after(1, record, Timestamp::from_millis(0));
        assert_eq!((next.partitions[1], next.at), (record, place.at));
        assert_eq!(next.partitions[2], place.partitions[2]);
    }

    #[test]
    fn what_is_no_place_in_the_topic_is_malformed() {
        let good = a_topic_place().encode();
        let (cut, none) = (&good[..good.len() - 2], &good[..20]);
        let negative = format!("{none}ffffffffffffffff00000000");
        let order = an_order_at(3);
        let of_an_order = OrderPlace::of(&order).encode(order.id);
        for text in ["", "55", cut, none, &negative, &of_an_order] {
            assert_eq!(
                TopicPlace::decode(text),
                Err(BadCursor::Malformed),
                "{text:?}"
            );
        }
        assert_eq!(TopicPlace::decode("5502"), Ok(Known::OtherLayout));
    }
}

//! What the tests of the roles share: events as the topics would bring them.

use shop_core::bus::{Outcome, Role};
use shop_core::commands::Call;
use shop_core::db::{StoreError, orders};
use shop_core::domain::{EventId, Order, OrderId};
use shop_core::events::{Envelope, Event, StoredEvent, Topic};
use shop_core::runtime::ids;
use shop_core::testkit::TestDb;

/// What a topic would bring of the events in the outbox; they count as sent.
pub async fn sent(db: &TestDb, topic: Topic) -> Vec<Envelope> {
    let events = db.take_outbox().await;
    let of_topic = events
        .into_iter()
        .filter(|event| event.aggregate_type.topic() == topic);
    of_topic
        .zip(0..)
        .map(|(event, offset)| envelope(topic, offset, event))
        .collect()
}

fn envelope(topic: Topic, offset: i64, stored: StoredEvent) -> Envelope {
    let record = stored.into_record();
    let header = |name: &str| {
        record
            .headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    let event = Event::decode(topic, header, &record.value).expect("our own events are readable");
    Envelope {
        source: shop_core::events::Source {
            topic,
            partition: 0,
            offset,
        },
        event,
    }
}

/// The same state in a new event, as a republication under another id would bring it.
pub fn under_another_id(envelope: &Envelope) -> Envelope {
    let mut other = envelope.clone();
    other.event.id = EventId::from_uuid(ids::fresh());
    other
}

pub async fn handle(role: &impl Role, batch: &[Envelope]) -> Vec<Outcome> {
    role.handle(batch).await.expect("the store is up")
}

/// An order as the tables hold it.
pub async fn stored(db: &TestDb, id: OrderId) -> Order {
    let order = db.db().transaction("test", async |tx| {
        let found = orders::lock(tx, id).await?;
        Ok::<_, StoreError>(found.expect("the order is there"))
    });
    order.await.expect("a read")
}

pub fn call() -> Call {
    Call::now(None)
}

/// The same orders every time for the same seed.
pub struct Shuffle(u64);

impl Shuffle {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

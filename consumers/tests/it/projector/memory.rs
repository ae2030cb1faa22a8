//! A place for statuses in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::ensure;
use shop_consumers::projector::StatusSink;
use shop_core::events::{Event, Payload, Topic, WireRecord};
use shop_core::views::Views;

/// A place for statuses that looks into the view before it takes one, and can be broken.
pub struct Memory {
    views: Views,
    taken: Mutex<Vec<(Topic, WireRecord)>>,
    /// How many calls fail before the next one works.
    failures: AtomicUsize,
    /// How many records a failing call takes before it fails.
    taken_before_failure: usize,
}

impl Memory {
    pub fn new(views: &Views, failures: usize, taken_before_failure: usize) -> Arc<Self> {
        let failures = AtomicUsize::new(failures);
        Arc::new(Self {
            views: views.clone(),
            taken: Mutex::default(),
            failures,
            taken_before_failure,
        })
    }

    /// What came since this was asked last.
    pub fn take(&self) -> Vec<(Topic, WireRecord)> {
        std::mem::take(&mut self.taken.lock().expect("no test panics in between"))
    }
}

/// Shared with the test that looks into it.
pub struct Sink(pub Arc<Memory>);

impl StatusSink for Sink {
    async fn publish(&self, records: Vec<(Topic, WireRecord)>) -> anyhow::Result<()> {
        for (topic, record) in &records {
            let status = read(*topic, record);
            let written = self.0.version_in_view(&status).await;
            ensure!(
                written >= status.version(),
                "a status came before its view: {status:?}"
            );
        }
        let fails = self.0.failures.load(Ordering::SeqCst) > 0;
        let count = if fails {
            self.0.taken_before_failure
        } else {
            records.len()
        };
        self.0
            .taken
            .lock()
            .expect("no test panics in between")
            .extend(records.into_iter().take(count));
        if fails {
            self.0.failures.fetch_sub(1, Ordering::SeqCst);
            anyhow::bail!("the test broke this");
        }
        Ok(())
    }
}

impl Memory {
    async fn version_in_view(&self, status: &Event) -> u32 {
        match &status.payload {
            Payload::Order(order) => {
                let state = self.views.order_state(order.id).await.expect("a read");
                state.map_or(0, |state| state.version())
            }
            Payload::StockLevel(level) => {
                let level = self
                    .views
                    .stock_level(level.product_id)
                    .await
                    .expect("a read");
                level.map_or(0, |level| level.version)
            }
            other => panic!("no status of {other:?} is expected"),
        }
    }
}

fn read(topic: Topic, record: &WireRecord) -> Event {
    let header = |name: &str| {
        record
            .headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    Event::decode(topic, header, &record.value).expect("our own events are readable")
}

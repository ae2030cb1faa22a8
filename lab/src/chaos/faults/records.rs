//! Records that come again: copies are produced into the same partitions, beside the relay's.

use std::time::Duration;

use anyhow::Context;
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::chaos::scene::Scene;
use crate::check::read::kafka::{RawRecord, read_raw};
use crate::check::read::mysql;

/// The topics whose records come again, in the order of an order's journey.
const TOPICS: [&str; 5] = ["users", "products", "orders", "stock", "stock-levels"];
/// Copies of so many of the newest records of a topic are made, at most.
const NEWEST: usize = 500;
/// How long the copies may take to be written.
const BOUND: Duration = Duration::from_secs(20);

/// Every record is delivered twice more, in its order.
pub async fn three_times(scene: &Scene) -> anyhow::Result<()> {
    again(scene, |records, _| {
        let twice = records
            .iter()
            .flat_map(|record| [record.clone(), record.clone()]);
        twice.collect()
    })
    .await
}

/// Every record comes again, the keys in another order against each other; within a key the order stays.
pub async fn shuffled(scene: &Scene) -> anyhow::Result<()> {
    again(scene, |records, rng| {
        let mut keys: Vec<usize> = (0..records.len()).collect();
        rng.shuffle(&mut keys);
        // Each place gets the next record of the key that chance put there.
        let mut next: std::collections::HashMap<&[u8], usize> = std::collections::HashMap::new();
        let mut shuffled = Vec::with_capacity(records.len());
        for place in keys {
            let key = records[place].key.as_slice();
            let from = next.entry(key).or_default();
            let found = (*from..records.len()).find(|index| records[*index].key == key);
            if let Some(index) = found {
                *from = index + 1;
                shuffled.push(records[index].clone());
            }
        }
        shuffled
    })
    .await
}

/// Each key's oldest records come again after the newest, and nobody remembers that they came before: what
/// `processed_events` held is pruned, as it is by age.
pub async fn old_again(scene: &Scene) -> anyhow::Result<()> {
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    conn.query_drop("DELETE FROM processed_events").await?;
    conn.disconnect().await?;
    again(scene, |records, _| {
        let mut seen: std::collections::HashMap<&[u8], usize> = std::collections::HashMap::new();
        let old = records.iter().filter(|record| {
            let times = seen.entry(record.key.as_slice()).or_default();
            *times += 1;
            *times == 1
        });
        old.cloned().collect()
    })
    .await
}

/// Reads what is in the topics, and produces what a rule makes of it.
async fn again(
    scene: &Scene,
    copies: fn(&[RawRecord], &mut fastrand::Rng) -> Vec<RawRecord>,
) -> anyhow::Result<()> {
    let (brokers, prefix) = (
        scene.site.kafka_brokers.clone(),
        scene.site.topic_prefix.clone(),
    );
    let mut rng = fastrand::Rng::with_seed(scene.chance(0..u64::MAX));
    let count = tokio::task::spawn_blocking(move || -> anyhow::Result<usize> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("enable.idempotence", "true")
            .create()?;
        let mut count = 0;
        for topic in TOPICS {
            let mut records = read_raw(&brokers, &prefix, topic)?;
            let from = records.len().saturating_sub(NEWEST);
            for record in copies(&records.split_off(from), &mut rng) {
                produce(&producer, &format!("{prefix}{topic}"), &record)?;
                count += 1;
            }
        }
        producer
            .flush(BOUND)
            .context("the copies are not written")?;
        Ok(count)
    })
    .await??;
    anyhow::ensure!(count > 0, "there was nothing to copy");
    scene.note();
    Ok(())
}

fn produce(producer: &BaseProducer, topic: &str, record: &RawRecord) -> anyhow::Result<()> {
    loop {
        let copy = BaseRecord::to(topic)
            .partition(record.partition)
            .key(&record.key)
            .payload(&record.value)
            .headers(record.headers.clone());
        match producer.send(copy) {
            Ok(()) => return Ok(()),
            Err((error, _))
                if error.rdkafka_error_code()
                    == Some(rdkafka::error::RDKafkaErrorCode::QueueFull) =>
            {
                producer.poll(Duration::from_millis(50));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

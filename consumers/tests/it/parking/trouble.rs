//! What fails has nowhere to go: its partition stops and heals, and nothing is dropped.

use shop_core::bus::{create_topics, delete_topics};

use super::*;

fn truncated(key: ProductId, version: u32) -> RawRecord {
    let mut record = level(key, version).encode(Encoding::Json);
    record.value.truncate(20);
    RawRecord {
        key: Some(record.key.into_bytes()),
        headers: Vec::new(),
        value: Some(record.value),
    }
}

fn seen(role: &Probe, key: ProductId) -> Vec<u32> {
    first_versions(&role.handled())
        .remove(&key.uuid())
        .unwrap_or_default()
}

async fn wait_for(role: &Probe, key: ProductId, versions: &[u32]) {
    eventually(&format!("{versions:?} of {key}"), BOUND, async || {
        (seen(role, key) == versions).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_parking_table_a_partition_stops_before_what_fails_and_heals() {
    let site = Site::new().await;
    let (bad, neighbour, other) = site.three_keys().await;
    let role = Probe::willing(TOPIC);
    let running = site.start(&role);
    role.wait_for(20).await;
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    let before = site.bus.committed(ROLE, TOPIC).await;
    site.db.execute("RENAME TABLE parked_records TO away").await;
    site.bus.send_raw(TOPIC, truncated(bad, 2)).await;
    site.bus.send(&levels(&[neighbour, other], 2..=3)).await;
    wait_for(&role, other, &[1, 2, 3]).await;
    eventually("the other partition's offsets", BOUND, async || {
        let committed = site.bus.committed(ROLE, TOPIC).await;
        (committed.values().sum::<i64>() == before.values().sum::<i64>() + 2).then_some(())
    })
    .await;
    site.db.execute("RENAME TABLE away TO parked_records").await;
    wait_for(&role, neighbour, &[1, 2, 3]).await;
    site.wait_for_letters(1).await;
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_dead_letter_topic_a_partition_stops_and_heals() {
    let site = Site::new().await;
    let (bad, neighbour, other) = site.three_keys().await;
    let dead_letters = [Channel::DeadLetters(TOPIC)];
    delete_topics(site.bus.settings(), &dead_letters)
        .await
        .expect("deleted");
    let role = Probe::willing(TOPIC);
    let running = site.start(&role);
    role.wait_for(20).await;
    site.bus.send_raw(TOPIC, truncated(bad, 2)).await;
    site.wait_for_parked("tries = 5 AND state = 'FAILING'", 1)
        .await;
    // From when the topic has refused the letter, what comes is not handled until it has another try.
    let mut version = 1;
    eventually("the partition stops", BOUND, async || {
        version += 1;
        site.bus
            .send(&levels(&[neighbour, other], version..=version))
            .await;
        eventually("the other partition flows", BOUND, async || {
            seen(&role, other).contains(&version).then_some(())
        })
        .await;
        (!seen(&role, neighbour).contains(&version)).then_some(())
    })
    .await;
    assert_eq!(site.parked("state = 'DEAD'").await, 0);
    create_topics(site.bus.settings(), &dead_letters)
        .await
        .expect("created");
    site.wait_for_letters(1).await;
    let all: Vec<u32> = (1..=version).collect();
    wait_for(&role, neighbour, &all).await;
    site.wait_for_parked("state = 'DEAD'", 1).await;
    running.stop().await;
}

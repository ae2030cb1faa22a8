//! Records that are no event, of every kind.

use shop_core::events::wire::header;

use super::*;

/// Something that makes a record of ours unreadable.
type Spoil = fn(&mut RawRecord);

fn set(raw: &mut RawRecord, name: &str, value: &str) {
    for (found, stored) in &mut raw.headers {
        if found == name {
            *stored = Some(value.as_bytes().to_vec());
        }
    }
}

/// Every kind, with a word of what is said about it.
const KINDS: [(Spoil, &str); 9] = [
    (
        |raw| {
            if let Some(value) = &mut raw.value {
                value.truncate(20);
            }
        },
        "the payload can not be read",
    ),
    (
        |raw| set(raw, header::AGGREGATE_VERSION, "9"),
        "header aggregate_version says 9",
    ),
    (
        |raw| set(raw, header::SPEC_VERSION, "2.0"),
        "header ce_specversion is not valid",
    ),
    (
        |raw| set(raw, header::CONTENT_TYPE, "application/xml"),
        "header content-type is not valid",
    ),
    (
        |raw| raw.value = Some(vec![b'x'; 10 * 1024 * 1024]),
        "the payload of 10485760 bytes is too large",
    ),
    (|raw| raw.value = None, "the payload can not be read"),
    (
        |raw| raw.value = Some(Vec::new()),
        "the payload can not be read",
    ),
    (|raw| raw.headers.clear(), "header content-type is missing"),
    (
        |raw| raw.headers.retain(|(name, _)| name != header::ID),
        "header ce_id is missing",
    ),
];

/// A level as it is on the wire.
fn good(key: ProductId, version: u32) -> RawRecord {
    let record = level(key, version).encode(Encoding::Json);
    let headers = record.headers.into_iter();
    RawRecord {
        key: Some(record.key.into_bytes()),
        headers: headers
            .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
            .collect(),
        value: Some(record.value),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_of_every_kind_becomes_a_dead_letter_and_closes_its_key_alone() {
    let site = Site::new().await;
    let healthy = keys(6);
    let poisoned = keys(KINDS.len());
    let role = Probe::willing(TOPIC);
    let running = site.start(&role);
    site.bus.send(&levels(&healthy, 1..=3)).await;
    let mut sent = Vec::new();
    for (key, (spoil, _)) in poisoned.iter().zip(KINDS) {
        site.bus.send(&[level(*key, 1)]).await;
        let mut raw = good(*key, 2);
        spoil(&mut raw);
        site.bus.send_raw(TOPIC, raw.clone()).await;
        sent.push(raw);
        site.bus.send(&[level(*key, 3)]).await;
    }
    site.bus.send(&levels(&healthy, 4..=6)).await;
    let letters = site.wait_for_letters(KINDS.len()).await;
    let count = i64::try_from(KINDS.len()).expect("a few");
    site.wait_for_parked("state = 'DEAD'", count).await;
    site.wait_for_parked("state = 'BEHIND'", count).await;
    site.bus.wait_until_consumed(ROLE, TOPIC).await;
    running.stop().await;

    let versions = first_versions(&role.handled());
    for key in &healthy {
        assert_eq!(versions[&key.uuid()], [1, 2, 3, 4, 5, 6]);
    }
    for key in &poisoned {
        assert_eq!(versions[&key.uuid()], [1], "nothing passes poison");
    }
    assert_eq!(letters.len(), KINDS.len(), "each is sent once");
    for (raw, (_, cause)) in sent.iter().zip(KINDS) {
        let letter = letters
            .iter()
            .find(|letter| letter.key == raw.key)
            .expect("a dead letter of every key");
        let ours = raw.headers.len();
        assert_eq!(letter.value, raw.value, "{cause}");
        assert_eq!(letter.headers[..ours], raw.headers, "{cause}");
        let header = |name| letter.header(name).unwrap_or_default().to_owned();
        assert!(header(header::DLQ_CAUSE).starts_with(cause), "{letter:?}");
        assert_eq!(header(header::DLQ_CONSUMER), ROLE);
        assert_eq!(header(header::DLQ_TOPIC), TOPIC.as_str());
        assert_eq!(header(header::DLQ_TRIES), "5");
        assert!(header(header::DLQ_FIRST_FAILED) <= header(header::DLQ_LAST_FAILED));
        let place = format!(
            "topic = '{TOPIC}' AND partition_no = {} AND log_offset = {}",
            header(header::DLQ_PARTITION),
            header(header::DLQ_OFFSET)
        );
        assert_eq!(site.parked(&place).await, 1, "it stays where it was parked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_key_and_with_an_empty_one_are_keys_of_their_own() {
    let site = Site::new().await;
    let role = Probe::willing(TOPIC);
    let running = site.start(&role);
    let key = keys(1)[0];
    for name in [None, Some(Vec::new()), Some(vec![0xff, 0xfe])] {
        for value in [Some(b"poison".to_vec()), good(key, 1).value] {
            let raw = RawRecord {
                key: name.clone(),
                value,
                ..good(key, 1)
            };
            site.bus.send_raw(TOPIC, raw).await;
        }
    }
    let letters = site.wait_for_letters(3).await;
    let mut found: Vec<_> = letters.iter().map(|letter| letter.key.clone()).collect();
    found.sort();
    assert_eq!(found, [None, Some(Vec::new()), Some(vec![0xff, 0xfe])]);
    // Records without a key are in any partition: not each stands behind the poison.
    site.wait_for_parked("record_key IS NOT NULL AND state = 'BEHIND'", 2)
        .await;
    running.stop().await;
}

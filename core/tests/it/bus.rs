//! Topics on the real broker.

use std::time::Duration;

use shop_core::bus::{Topics, create_topics, delete_topics, ensure_topics};
use shop_core::events::{Channel, Topic};
use shop_core::testkit::{TestBus, eventually};

const BOUND: Duration = Duration::from_secs(10);

#[tokio::test]
async fn topics_are_made_once_and_never_changed() {
    let bus = TestBus::new().await; // has made them
    let mut settings = bus.settings().clone();
    assert_eq!(ensure_topics(&settings).await.unwrap(), Topics::default());

    settings.partitions = 5;
    let found = ensure_topics(&settings).await.unwrap();
    assert_eq!(found.other_partitions, Topic::ALL.map(|topic| (topic, 3)));
    assert!(found.created.is_empty());

    delete_topics(
        &settings,
        &[Topic::Users.into(), Channel::DeadLetters(Topic::Stock)],
    )
    .await
    .unwrap();
    delete_topics(&settings, &[Topic::Users.into()])
        .await
        .unwrap(); // not there: no error
    // A broker may not know at once that a topic is gone.
    let found = eventually("a topic to make", BOUND, async || {
        let wanted = [Topic::Users.into(), Topic::Orders.into()];
        let found = create_topics(&settings, &wanted).await.unwrap();
        (!found.created.is_empty()).then_some(found)
    })
    .await;
    assert_eq!(
        (found.created, found.other_partitions),
        (
            vec![Channel::Records(Topic::Users)],
            vec![(Topic::Orders, 3)]
        )
    );
}

#[tokio::test]
async fn without_a_broker_making_topics_fails_in_bounded_time() {
    let bus = TestBus::new().await;
    let mut settings = bus.settings().clone();
    settings.brokers = "127.0.0.1:1".to_owned();
    let error = ensure_topics(&settings).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

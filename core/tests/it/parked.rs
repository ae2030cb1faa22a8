//! The table of parked records, as two owners of a partition write it.

use shop_core::db::parked::{self, New, State, Why};
use shop_core::db::{Db, StoreError};
use shop_core::events::{RawRecord, Source, Topic};
use shop_core::testkit::TestDb;

const CONSUMER: &str = "test";
const PLACE: (Topic, i32) = (Topic::Orders, 0);

async fn park(db: &Db, raw: &RawRecord, failed: Option<&str>) {
    let source = Source {
        topic: PLACE.0,
        partition: PLACE.1,
        offset: 3,
    };
    let why = |cause: &str| Why {
        cause: cause.to_owned(),
        causes: cause.to_owned(),
    };
    let failed = failed.map(|cause| (why(cause), 60_000));
    let record = New {
        source,
        raw,
        failed,
    };
    let record = std::slice::from_ref(&record);
    db.transaction("test", async |tx| {
        parked::insert(tx, CONSUMER, record).await
    })
    .await
    .map_err(|error: StoreError| error)
    .expect("MySQL is up");
}

async fn heads(db: &Db) -> Vec<(State, bool)> {
    let heads = db.transaction("test", async |tx| {
        parked::heads(tx, CONSUMER, &[PLACE]).await
    });
    let heads = heads.await.map_err(|error: StoreError| error);
    let heads = heads.expect("MySQL is up").into_iter();
    heads
        .map(|head| (head.state, head.wait_ms > 50_000))
        .collect()
}

/// Found by the simulation: a former owner parks a record behind one that the new owner has handled meanwhile; the new owner handles the
/// record itself, in vain. If the table went on saying that it waits behind another, the new owner would take it for dropped,
/// and the next of its key would overtake it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_behind_another_and_fails_is_known_to_have_failed() {
    let db = TestDb::new().await;
    let raw = RawRecord {
        key: Some(b"key".to_vec()),
        ..RawRecord::default()
    };
    park(db.db(), &raw, None).await;
    assert_eq!(heads(db.db()).await, []);
    park(db.db(), &raw, Some("no")).await;
    assert_eq!(heads(db.db()).await, [(State::Failing, true)]);
    // What failed stays as it is, whoever parks it again.
    for again in [None, Some("no, again")] {
        park(db.db(), &raw, again).await;
        assert_eq!(heads(db.db()).await, [(State::Failing, true)]);
    }
    let told =
        "SELECT COUNT(*) FROM parked_records WHERE cause = 'no' AND first_failed_at IS NOT NULL";
    assert_eq!(db.count(told).await, 1);
}

use std::sync::Mutex;

use futures::StreamExt as _;
use shop_core::domain::Timestamp;

use super::*;
use crate::live::hub::tests::an_order_at;

/// Views that answer what the test lined up, the last answer again and again.
#[derive(Clone)]
struct Answers(Arc<Mutex<VecDeque<Answer>>>);

type Answer = Result<Option<OrderState>, ApiError>;

impl Answers {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self(Arc::new(Mutex::new(answers.into_iter().collect())))
    }

    fn push(&self, answer: Answer) {
        let mut answers = self.0.lock().expect("no panic while locked");
        answers.clear();
        answers.push_back(answer);
    }
}

impl ReadOrders for Answers {
    async fn read(&self, _: OrderId, _: Scope) -> Result<Option<OrderState>, ApiError> {
        let mut answers = self.0.lock().expect("no panic while locked");
        if answers.len() > 1 {
            answers.pop_front().expect("more than one")
        } else {
            answers.front().expect("at least one").clone()
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form of an answer")]
fn live(version: u32) -> Answer {
    Ok(Some(OrderState::Live(Box::new(an_order_at(version)))))
}

fn deleted() -> Order {
    let mut order = an_order_at(6);
    order.delete(order.updated_at).expect("delivered");
    order
}

fn state_of_deleted() -> OrderState {
    let order = deleted();
    OrderState::Deleted(DeletedOrder {
        id: order.id,
        version: order.version,
        status: order.status,
        timeline: order.timeline,
        created_at: order.created_at,
        updated_at: order.updated_at,
    })
}

fn watching(views: &Answers) -> (Hub, Watch<Answers>) {
    watching_after(views, None)
}

fn watching_after(views: &Answers, after: Option<Known<OrderPlace>>) -> (Hub, Watch<Answers>) {
    let hub = Hub::new();
    let watch = Watch::new(
        &hub,
        views.clone(),
        Scope::Everything,
        an_order_at(1).id,
        after,
    );
    (hub, watch)
}

async fn versions<const N: usize>(watch: &mut Watch<Answers>) -> [u32; N] {
    let mut versions = [0; N];
    for version in &mut versions {
        *version = watch
            .next()
            .await
            .expect("an item")
            .expect("no error")
            .order
            .version;
    }
    versions
}

/// The versions that are ready, and why.
async fn told<const N: usize>(watch: &mut Watch<Answers>) -> [(Kind, u32); N] {
    let mut told = [(Kind::Live, 0); N];
    for item in &mut told {
        let change = watch.next().await.expect("an item").expect("no error");
        *item = (change.kind, change.order.version);
    }
    told
}

fn resuming(views: &Answers, after: OrderPlace) -> (Hub, Watch<Answers>) {
    watching_after(views, Some(Known::Place(after)))
}

fn place_at(version: u32) -> OrderPlace {
    OrderPlace::of(&an_order_at(version))
}

fn publish(hub: &Hub, versions: impl IntoIterator<Item = u32>) {
    for version in versions {
        hub.publish(&Arc::new(an_order_at(version)));
    }
}

#[tokio::test]
async fn what_was_published_between_registering_and_reading_is_told_once() {
    let (hub, mut watch) = watching(&Answers::new([live(2)]));
    publish(&hub, [1, 2, 3]);
    assert_eq!(versions(&mut watch).await, [2, 3]);
    publish(&hub, [3, 5]);
    assert_eq!(versions(&mut watch).await, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_new_orders_view_is_waited_for() {
    let (_hub, mut watch) = watching(&Answers::new([Ok(None), Ok(None), live(1)]));
    assert_eq!(versions(&mut watch).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_never_appears_and_what_was_deleted_is_not_found_and_the_stream_ends() {
    for answer in [Ok(None), Ok(Some(state_of_deleted()))] {
        let (_hub, mut watch) = watching(&Answers::new([answer]));
        assert!(matches!(
            watch.next().await,
            Some(Err(ApiError::NotFound(_)))
        ));
        assert!(watch.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_fell_behind_fills_from_the_view_and_survives_its_absence() {
    let views = Answers::new([live(1)]);
    let (hub, mut watch) = watching(&views);
    assert_eq!(versions(&mut watch).await, [1]);
    let away = || Err(ApiError::unavailable(anyhow::anyhow!("away")));
    *views.0.lock().expect("no panic while locked") = VecDeque::from([away(), away(), live(4)]);
    hub.resync();
    assert_eq!(versions(&mut watch).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn views_that_stay_away_end_the_stream_with_a_retryable_error() {
    let views = Answers::new([live(1)]);
    let (hub, mut watch) = watching(&views);
    assert_eq!(versions(&mut watch).await, [1]);
    views.push(Err(ApiError::unavailable(anyhow::anyhow!("away"))));
    hub.resync();
    let error = watch.next().await.expect("an item").expect_err("an error");
    assert!(error.is_retryable());
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_state_without_its_timeline_is_filled_from_the_view() {
    let views = Answers::new([live(1)]);
    let (hub, mut watch) = watching(&views);
    assert_eq!(versions(&mut watch).await, [1]);
    views.push(live(4));
    let mut holed = an_order_at(4);
    holed.timeline.remove(2);
    hub.publish(&Arc::new(holed));
    assert_eq!(versions(&mut watch).await, [2, 3, 4]);
}

#[tokio::test]
async fn the_deletion_ends_the_stream_after_what_was_missed() {
    let (hub, mut watch) = watching(&Answers::new([live(4)]));
    assert_eq!(versions(&mut watch).await, [4]);
    hub.publish(&Arc::new(deleted()));
    assert_eq!(versions(&mut watch).await, [5, 6]);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_deletion_seen_in_the_view_alone_does_so_too() {
    let views = Answers::new([live(4)]);
    let (hub, mut watch) = watching(&views);
    assert_eq!(versions(&mut watch).await, [4]);
    views.push(Ok(Some(state_of_deleted())));
    hub.resync();
    assert_eq!(versions(&mut watch).await, [5, 6]);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_flood_for_a_slow_watcher_is_bounded_and_loses_no_version() {
    let views = Answers::new([live(1)]);
    let (hub, mut watch) = watching(&views);
    assert_eq!(versions(&mut watch).await, [1]);
    views.push(live(6));
    publish(&hub, (0..1_000).map(|n| 2 + n % 5));
    assert_eq!(versions(&mut watch).await, [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_cursor_brings_what_was_missed_and_then_what_is_new_without_a_seam() {
    for after in 1..=3 {
        let (hub, mut watch) = resuming(&Answers::new([live(3)]), place_at(after));
        publish(&hub, [2, 3, 4, 4]); // registered already, and not asked yet
        let mut expected: Vec<_> = (after + 1..=3).map(|v| (Kind::Missed, v)).collect();
        expected.push((Kind::Live, 4));
        for item in expected {
            assert_eq!(told(&mut watch).await, [item]);
        }
        publish(&hub, [6]);
        assert_eq!(told(&mut watch).await, [(Kind::Live, 5), (Kind::Live, 6)]);
    }
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_answered_with_the_order_as_it_is() {
    let mut other_history = place_at(2);
    other_history.at = Timestamp::from_millis(other_history.at.millis() + 1);
    let mut holed = an_order_at(4);
    holed.timeline.remove(2);
    let holed = Ok(Some(OrderState::Live(Box::new(holed))));
    for (view, after) in [
        (live(4), Known::Place(other_history)),
        (holed, Known::Place(place_at(2))),
        (live(4), Known::OtherLayout),
    ] {
        let (hub, mut watch) = watching_after(&Answers::new([view]), Some(after));
        assert_eq!(told(&mut watch).await, [(Kind::Resync, 4)]);
        publish(&hub, [3, 5]);
        assert_eq!(told(&mut watch).await, [(Kind::Live, 5)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_behind_the_cursor_for_a_moment_is_waited_for() {
    let (_hub, mut watch) = resuming(&Answers::new([live(2), live(2), live(4)]), place_at(3));
    assert_eq!(told(&mut watch).await, [(Kind::Missed, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_never_comes_is_an_error_of_the_cursor() {
    let (_hub, mut watch) = resuming(&Answers::new([live(2)]), place_at(3));
    let error = watch.next().await.expect("an item").expect_err("an error");
    assert!(
        matches!(error, ApiError::InvalidCursor(BadCursor::InTheFuture(3))),
        "{error:?}"
    );
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_cursor_of_a_deleted_order_ends_or_is_told_that_it_is_gone() {
    let deleted = || Answers::new([Ok(Some(state_of_deleted()))]); // by version 7
    let (_hub, mut watch) = resuming(&deleted(), place_at(6));
    assert!(watch.next().await.is_none(), "only the deletion was missed");
    let (_hub, mut watch) = resuming(&deleted(), place_at(5));
    assert!(matches!(
        watch.next().await,
        Some(Err(ApiError::NotFound(_)))
    ));
}

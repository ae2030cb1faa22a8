//! Updates of many orders, through Kafka: nothing is missed across a reconnect, on any copy of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shop_api::live::feed::Feed;
use shop_api::live::{Follower, Kind, Live};
use shop_core::bus::{create_topics, delete_topics};
use shop_core::events::{Topic, WireRecord};
use shop_core::testkit::{TestBus, eventually};
use shop_core::views::OrderFilter;
use tokio::task::JoinHandle;

use crate::copies::ApiCopy;
use crate::documents::{CREATE_ORDER, DELETE_ORDER, ORDER_UPDATES, PAY_ORDER};
use crate::shop::{Options, Roles, Shop, Statuses, counted};
use crate::socket::Socket;

const BOUND: Duration = Duration::from_secs(30);

/// Two copies of the API that read one log.
struct Copies {
    bus: Arc<TestBus>,
    shop: Shop,
    other: ApiCopy,
    roles: Roles<Statuses>,
    reading: Vec<JoinHandle<()>>,
}

impl Copies {
    async fn open() -> Self {
        let bus = Arc::new(TestBus::new().await);
        let options = || Options {
            kafka: Some(bus.settings().clone()),
            ..Options::default()
        };
        let shop = Shop::with(options()).await;
        let other = shop.copy_with(options()).await;
        let reading = vec![read(&bus, &shop.live).await, read(&bus, &other.live).await];
        let statuses = Statuses::Topic(bus.producer().clone());
        let roles = Roles::new(shop.db.db(), &shop.views, statuses);
        Self {
            bus,
            shop,
            other,
            roles,
            reading,
        }
    }

    async fn settle(&self) {
        self.roles.settle(&self.shop.db).await;
    }

    /// Creates orders of a customer and confirms them: two versions of each. Returns their ids.
    async fn orders(&self, customer: &Value, count: usize) -> Vec<Value> {
        let product = self.shop.product(1_000).await;
        let lines = json!([{ "productId": product, "quantity": 1 }]);
        let input = json!({ "onBehalfOf": customer, "lines": lines });
        let mut ids = Vec::new();
        for _ in 0..count {
            let payload = self.shop.done(CREATE_ORDER, input.clone()).await;
            ids.push(payload["order"]["id"].clone());
        }
        self.settle().await;
        ids
    }

    async fn pay(&self, order: &Value) {
        let input = json!({ "orderId": order, "method": "card", "reference": order });
        self.shop.done(PAY_ORDER, input).await;
        self.settle().await;
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.other.shutdown.request();
        self.reading.iter().for_each(JoinHandle::abort);
    }
}

/// Begins to read the log, as one copy does.
async fn read(bus: &Arc<TestBus>, live: &Live) -> JoinHandle<()> {
    let feed = Feed::new();
    let reading = tokio::spawn({
        let (feed, live, bus) = (feed.clone(), live.clone(), Arc::clone(bus));
        async move { feed.run(bus.settings(), &live).await }
    });
    eventually("the feed to read", BOUND, async || feed.probe().await.ok()).await;
    reading
}

/// The feed as a client has it.
struct Following(Socket);

impl Following {
    async fn open(addr: SocketAddr, filter: Value, after: &Value) -> Self {
        let mut socket = Socket::open(addr).await;
        let variables = json!({ "filter": filter, "after": after });
        socket.subscribe("1", ORDER_UPDATES, variables).await;
        Self(socket)
    }

    /// A feed that begins, and where it does.
    async fn begin(addr: SocketAddr, filter: Value) -> (Self, Value) {
        let mut following = Self::open(addr, filter, &Value::Null).await;
        let mut begin = following.next().await;
        assert_eq!(begin["kind"], "BEGIN");
        assert_eq!(begin["change"], Value::Null);
        (following, begin["cursor"].take())
    }

    async fn next(&mut self) -> Value {
        let mut answer = self.0.next("1").await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"]["orderUpdates"].take()
    }

    async fn error(&mut self) -> Value {
        self.0.refused("1").await[0].take()
    }
}

fn version(item: &Value) -> (String, i64) {
    let id = item["change"]["orderId"].as_str().expect("an update");
    let version = item["change"]["version"].as_i64().expect("a number");
    (id.to_owned(), version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_follower_is_told_what_matches_and_nothing_else() {
    let copies = Copies::open().await;
    let (ada, bob) = (copies.shop.customer().await, copies.shop.customer().await);
    let of_ada = json!({ "customerId": ada });
    let paid = json!({ "statuses": ["PAID"] });
    let (mut all, _) = Following::begin(copies.shop.addr, Value::Null).await;
    let (mut of_ada, _) = Following::begin(copies.other.addr, of_ada).await;
    let (mut paid, _) = Following::begin(copies.shop.addr, paid).await;
    let (adas, bobs) = (copies.orders(&ada, 1).await, copies.orders(&bob, 1).await);
    copies.pay(&bobs[0]).await;
    copies.pay(&adas[0]).await;

    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for _ in 0..6 {
        let item = all.next().await;
        assert_eq!(
            (&item["kind"], &item["since"]),
            (&json!("LIVE"), &Value::Null)
        );
        let (id, version) = version(&item);
        seen.entry(id).or_default().push(version);
    }
    assert!(
        seen.len() == 2 && seen.values().all(|versions| *versions == [1, 2, 3]),
        "{seen:?}"
    );
    for expected in 1..=3 {
        let item = of_ada.next().await;
        assert_eq!(item["change"]["order"]["customerId"], ada);
        assert_eq!(item["change"]["version"], expected);
    }
    let mut told = BTreeSet::new();
    for _ in 0..2 {
        let item = paid.next().await;
        assert_eq!(item["change"]["status"], "PAID");
        told.insert(version(&item).0);
    }
    assert_eq!(told.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_loses_its_connection_all_the_time_misses_nothing() {
    let copies = Copies::open().await;
    let customer = copies.shop.customer().await;
    let (first, begin) = Following::begin(copies.shop.addr, Value::Null).await;
    drop(first);
    let (mut witness, _) = Following::begin(copies.other.addr, Value::Null).await;
    let change = async {
        for order in copies.orders(&customer, 6).await {
            copies.pay(&order).await;
        }
    };
    // Comes back to the other copy after every few items, while orders change.
    let follow = async {
        let (mut seen, mut cursor) = (BTreeMap::<String, Vec<i64>>::new(), begin.clone());
        let addrs = [copies.other.addr, copies.shop.addr];
        for (addr, items) in addrs.into_iter().cycle().zip((1..=4).cycle()) {
            let mut following = Following::open(addr, Value::Null, &cursor).await;
            for _ in 0..items {
                let item = following.next().await;
                assert!(item["kind"] == "MISSED" || item["kind"] == "LIVE", "{item}");
                cursor = item["cursor"].clone();
                let (id, version) = version(&item);
                let versions = seen.entry(id).or_default();
                if !versions.contains(&version) {
                    versions.push(version);
                }
                if seen.len() == 6 && seen.values().all(|versions| versions.len() == 3) {
                    return seen;
                }
            }
        }
        unreachable!("the copies come again and again")
    };
    let ((), seen) = tokio::join!(change, follow);
    assert!(
        seen.values().all(|versions| *versions == [1, 2, 3]),
        "{seen:?}"
    );
    let mut told = BTreeSet::new();
    while told.len() < 18 {
        told.insert(version(&witness.next().await)); // so that the other copy has read all of it
    }
    // From the beginning once more: all of it was missed, and each version comes once.
    let mut following = Following::open(copies.other.addr, Value::Null, &begin).await;
    let mut again = BTreeSet::new();
    for _ in 0..18 {
        let item = following.next().await;
        assert_eq!(item["kind"], "MISSED");
        assert!(again.insert(version(&item)), "{item}");
    }
    // The control: without a cursor the feed begins, and nothing of it is told.
    let (mut control, _) = Following::begin(copies.other.addr, Value::Null).await;
    copies.orders(&customer, 1).await;
    let item = control.next().await;
    assert!(!again.contains(&version(&item)), "{item}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_that_was_away_reads_what_was_missed_before_it_came_back() {
    let mut copies = Copies::open().await;
    let customer = copies.shop.customer().await;
    let (following, begin) = Following::begin(copies.other.addr, Value::Null).await;
    drop(following);
    copies.reading.iter().for_each(JoinHandle::abort);
    copies.orders(&customer, 2).await;
    // Both begin at the end of what was written meanwhile, and know no record of it.
    copies.reading = vec![
        read(&copies.bus, &copies.shop.live).await,
        read(&copies.bus, &copies.other.live).await,
    ];
    let mut cursors = vec![begin];
    for place in 0..4 {
        let mut following = Following::open(copies.shop.addr, Value::Null, &cursors[place]).await;
        for nth in place..4 {
            let item = following.next().await;
            assert_eq!(item["kind"], "MISSED");
            if nth == place {
                cursors.push(item["cursor"].clone());
            }
        }
    }
    let mut following = Following::open(copies.other.addr, Value::Null, &cursors[4]).await;
    copies.orders(&customer, 1).await;
    assert_eq!(following.next().await["kind"], "LIVE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_does_not_keep_up_is_told_all_of_it_later() {
    const MANY: usize = 2_000; // several mailboxes and several readings

    let copies = Copies::open().await;
    let live = &copies.shop.live;
    let follower = || {
        Follower::new(
            &live.updates,
            live.log.clone(),
            OrderFilter::default(),
            None,
        )
    };
    let (mut slow, mut fast) = (follower(), follower());
    for follower in [&mut slow, &mut fast] {
        let begin = follower.next().await.expect("an item").expect("no error");
        assert_eq!(begin.kind, Kind::Begin);
    }
    copies.orders(&copies.shop.customer().await, 1).await;
    let statuses = copies.bus.events(Topic::OrderStatus).await;
    let again = statuses[1].event.encode(copies.bus.settings().encoding);
    let records = vec![(Topic::OrderStatus, again); MANY];
    let sent = copies.bus.producer().send_all(records).await;
    sent.expect("the repeats are sent");
    for (follower, late) in [(&mut fast, false), (&mut slow, true)] {
        let mut places = BTreeSet::new();
        for _ in 0..MANY + 2 {
            let item = tokio::time::timeout(BOUND, follower.next()).await;
            let item = item.expect("in time").expect("an item").expect("no error");
            assert!(!late || item.kind == Kind::Missed, "{:?}", item.kind);
            assert!(places.insert(item.place.encode()), "each record once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_that_was_made_anew_is_said_even_if_it_is_longer() {
    let mut copies = Copies::open().await;
    let customer = copies.shop.customer().await;
    let (mut following, _) = Following::begin(copies.shop.addr, Value::Null).await;
    copies.orders(&customer, 2).await;
    let mut cursor = Value::Null;
    for _ in 0..4 {
        cursor = following.next().await["cursor"].take();
    }
    drop(following);
    copies.reading.iter().for_each(JoinHandle::abort);
    let (topic, settings) = ([Topic::OrderStatus.into()], copies.bus.settings());
    delete_topics(settings, &topic)
        .await
        .expect("it is deleted");
    eventually("the topic to be made again", BOUND, async || {
        let made = create_topics(settings, &topic).await.ok()?;
        (made.created == topic).then_some(())
    })
    .await;
    copies.orders(&customer, 20).await; // more than there was in every partition
    copies.reading = vec![read(&copies.bus, &copies.shop.live).await];
    let mut following = Following::open(copies.shop.addr, Value::Null, &cursor).await;
    let mut item = following.next().await;
    while item["kind"] == "MISSED" {
        item = following.next().await; // of a partition that was compared later
    }
    assert_eq!(
        (&item["kind"], &item["change"]),
        (&json!("RESYNC"), &Value::Null)
    );
    assert!(item["since"].is_string(), "{item}");
    let after = item["cursor"].take();
    copies.orders(&customer, 1).await;
    assert_eq!(following.next().await["kind"], "LIVE");
    let mut following = Following::open(copies.shop.addr, Value::Null, &after).await;
    assert_eq!(
        following.next().await["kind"],
        "MISSED",
        "that cursor is good"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_that_can_not_be_read_is_said_live_and_later() {
    let copies = Copies::open().await;
    let customer = copies.shop.customer().await;
    let (mut following, begin) = Following::begin(copies.shop.addr, Value::Null).await;
    let (mut witness, _) = Following::begin(copies.other.addr, Value::Null).await;
    let poison = WireRecord {
        key: "7".to_owned(),
        headers: Vec::new(),
        value: Vec::new(),
    };
    shop_core::runtime::metrics::install();
    let line = r#"live_items_total{stream="orderUpdates",kind="RESYNC"} "#;
    let before = counted(line);
    copies.bus.send_record(Topic::OrderStatus, poison).await;
    let resync = following.next().await;
    assert_eq!(resync["kind"], "RESYNC");
    assert!(counted(line) > before);
    copies.orders(&customer, 1).await;
    assert_eq!(version(&following.next().await).1, 1);
    for _ in 0..3 {
        witness.next().await; // so that the other copy has read all of it
    }
    let mut later = Following::open(copies.other.addr, Value::Null, &begin).await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(later.next().await["kind"].take());
    }
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["MISSED", "MISSED", "RESYNC"]);
    let mut whole = Following::open(copies.other.addr, Value::Null, &resync["cursor"]).await;
    assert_eq!(whole.next().await["kind"], "MISSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cursors_and_filters_that_are_none_are_refused_and_deletions_are_not_told() {
    let copies = Copies::open().await;
    let customer = copies.shop.customer().await;
    let (mut following, begin) = Following::begin(copies.shop.addr, Value::Null).await;
    let begin = begin.as_str().expect("a text");
    let order = copies.shop.order_in(&[]).await; // tells the hubs of its own, not the topic
    let mut stream = Socket::open(copies.shop.addr).await;
    let variables = json!({ "orderId": order });
    stream
        .subscribe("1", crate::documents::ORDER_STATUS_CHANGED, variables)
        .await;
    let of_an_order = stream.next("1").await["data"]["orderStatusChanged"]["cursor"].take();
    let of_an_order = of_an_order.as_str().expect("a text");
    for cursor in ["", "7", &begin[..30], of_an_order] {
        let mut following = Following::open(copies.shop.addr, Value::Null, &json!(cursor)).await;
        let error = following.error().await;
        assert_eq!(error["extensions"]["code"], "INVALID_CURSOR", "{error}");
        assert_eq!(error["extensions"]["argument"], "after");
    }
    let other_layout = json!(format!("5502{}", &begin[4..]));
    let too_far = json!(format!(
        "{}00ffffffffffffff00000000{}",
        &begin[..20],
        &begin[44..]
    ));
    let one_partition = json!(&begin[..44]);
    for cursor in [other_layout, too_far, one_partition] {
        let mut following = Following::open(copies.shop.addr, Value::Null, &cursor).await;
        assert_eq!(following.next().await["kind"], "RESYNC", "{cursor}");
    }
    for (filter, code) in [
        (json!({ "customerId": order }), "BAD_USER_INPUT"),
        (json!({ "customerId": "7" }), "BAD_USER_INPUT"),
    ] {
        let mut following = Following::open(copies.shop.addr, filter, &Value::Null).await;
        assert_eq!(following.error().await["extensions"]["code"], code);
    }
    let ids = copies.orders(&customer, 1).await;
    let input = json!({ "orderId": ids[0] });
    copies
        .shop
        .done(crate::documents::CANCEL_ORDER, input.clone())
        .await;
    copies.shop.done(DELETE_ORDER, input).await;
    copies.settle().await;
    copies.orders(&customer, 1).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(version(&following.next().await).1);
    }
    told.sort_unstable();
    assert_eq!(told, [1, 1, 2, 2, 3], "version 4 was the deletion");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_that_is_not_read_is_waited_for_and_then_said_to_be_away() {
    let shop = Shop::open().await; // without a feed
    let mut following = Following::open(shop.addr, Value::Null, &Value::Null).await;
    let error = following.error().await;
    assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{error}");
    assert_eq!(error["extensions"]["retryable"], true);
}

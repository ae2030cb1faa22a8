//! Records that can not be handled: no events at all, and an order whose effect fails.

use std::time::Duration;

use anyhow::{Context, ensure};
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::chaos::scene::Scene;
use crate::check::Violation;
use crate::check::evidence::{Kind, Line};
use crate::check::read::kafka::{RawRecord, read_raw};
use crate::check::read::mysql;
use crate::host::Deadline;
use crate::stage::catalogue::create_product;

/// How long a record may take to become a dead letter, or a key to be worked off.
const BOUND: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);
/// The largest poison.
const LARGE: usize = 10 * 1024 * 1024;

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poison {
    Truncated,
    WrongVersion,
    UnknownType,
    TenMegabytes,
    Empty,
    NoHeaders,
}

impl Poison {
    const ALL: [Self; 6] = [
        Self::Truncated,
        Self::WrongVersion,
        Self::UnknownType,
        Self::TenMegabytes,
        Self::Empty,
        Self::NoHeaders,
    ];

    /// A record made from a good one.
    fn made_from(self, good: &RawRecord) -> RawRecord {
        let mut record = good.clone();
        match self {
            Self::Truncated => record.value.truncate(good.value.len() / 2),
            Self::WrongVersion => record.headers = with_header(good, "ce_specversion", "9.9"),
            Self::UnknownType => record.headers = with_header(good, "ce_type", "order.teleported"),
            Self::TenMegabytes => record.value = vec![b' '; LARGE],
            Self::Empty => record.value.clear(),
            Self::NoHeaders => record.headers = OwnedHeaders::new(),
        }
        // A state of unknown type is applied by its state, so it keeps its key; the others must close nobody's.
        if self != Self::UnknownType {
            record.key = Uuid::from_u128(fastrand::u128(..)).to_string().into_bytes();
        }
        record
    }

    /// Whether it can not be handled.
    fn is_deadly(self) -> bool {
        self != Self::UnknownType
    }
}

fn with_header(record: &RawRecord, name: &str, value: &str) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for header in record.headers.iter() {
        let value = if header.key == name {
            Some(value.as_bytes())
        } else {
            header.value
        };
        headers = headers.insert(Header {
            key: header.key,
            value,
        });
    }
    headers
}

/// One record of each kind among the orders; their dead letters are looked at and dropped.
pub async fn records(scene: &Scene) -> anyhow::Result<()> {
    let (brokers, prefix) = (
        scene.site.kafka_brokers.clone(),
        scene.site.topic_prefix.clone(),
    );
    let topic = format!("{prefix}orders");
    take_large_records(&brokers, &topic).await?;
    let good = {
        let (brokers, prefix) = (brokers.clone(), prefix.clone());
        tokio::task::spawn_blocking(move || read_raw(&brokers, &prefix, "orders")).await??
    };
    let good = good.last().context("there is no order yet")?.clone();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("message.max.bytes", (2 * LARGE).to_string())
        .create()?;
    let before = dead_letters(scene).await?;
    let mut keys = Vec::new();
    for poison in Poison::ALL {
        let record = poison.made_from(&good);
        let message = FutureRecord::to(&topic)
            .partition(good.partition)
            .key(&record.key)
            .payload(&record.value)
            .headers(record.headers.clone());
        let sent = producer.send_result(message).map_err(|(error, _)| error)?;
        let place = sent.await.context("the producer is gone")?;
        let place = place.map_err(|(error, _)| error)?;
        scene
            .run
            .journal
            .poison("orders", place.partition, place.offset);
        scene.note();
        if poison.is_deadly() {
            keys.push(String::from_utf8(record.key)?);
        }
    }
    // Both readers of the topic give each of them up.
    let expected = before + 2 * u64::try_from(keys.len())?;
    let deadline = Deadline::after(BOUND);
    while dead_letters(scene).await? < expected {
        let found = dead_letters(scene).await?;
        ensure!(!deadline.passed(), "{found} dead letters, not {expected}");
        tokio::time::sleep(POLL).await;
    }
    for key in &keys {
        scene.ops(&["dlq", "show", key]).await?;
        scene.ops(&["--yes", "dlq", "drop", key]).await?;
    }
    let left = dead_letters(scene).await?;
    ensure!(left == before, "{left} dead letters are left, not {before}");
    scene.remark(format!("{} dead letters, dropped", expected - before));
    Ok(())
}

/// An order whose stock can not be written for a while: it is canceled meanwhile, which must wait behind what failed. When
/// that is dead it is tried again, and the order ends as if nothing had been.
pub async fn parked_order(scene: &Scene) -> anyhow::Result<()> {
    let product = create_product(&scene.run.shop, "The cursed mug", 5).await?;
    let curse = Curse::put(scene, product).await?;
    let lines = [Line {
        product,
        quantity: 2,
    }];
    let shop = scene.run.shop.always_keyed();
    let placed = shop
        .create_order(scene.run.catalogue.customer(), &lines)
        .await?;
    let placed = placed.context("createOrder was not answered")?;
    let order = placed.id;
    scene.note_with(1);
    curse.wait_until_parked(scene, order).await?;
    shop.cancel(order, "it takes too long").await?;
    scene.note_with(1);
    curse.wait_until_dead(scene, order).await?;
    curse.lift(scene, Some(order)).await?;
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    let steps: Vec<String> = conn
        .query(format!(
            "SELECT kind FROM stock_movements WHERE order_id = UUID_TO_BIN('{order}') ORDER BY id"
        ))
        .await?;
    conn.disconnect().await?;
    if steps != ["RESERVED", "RELEASED"] {
        let problem =
            format!("its stock was {steps:?}, not reserved and then released as without the fault");
        scene.violate(Violation::new(6, Kind::Order.id(order), problem));
    }
    scene.run.watch_on(placed.watch);
    Ok(())
}

/// A product of which nothing can be held: the table refuses the lines. The shop's own code knows nothing of it.
#[derive(Debug)]
pub struct Curse;

impl Curse {
    /// Puts it on a product.
    pub async fn put(scene: &Scene, product: Uuid) -> anyhow::Result<Self> {
        let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
        conn.query_drop(format!(
            "CREATE TRIGGER cursed BEFORE INSERT ON stock_order_lines FOR EACH ROW \
             IF NEW.product_id = UUID_TO_BIN('{product}') THEN \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a cursed product'; END IF"
        ))
        .await?;
        conn.disconnect().await?;
        Ok(Self)
    }

    /// Waits until an order for it has failed once.
    pub async fn wait_until_parked(&self, scene: &Scene, order: Uuid) -> anyhow::Result<()> {
        until(scene, &parked(order), "the order to be parked").await
    }

    /// Waits until an order for it is a dead letter; or nothing of it waits any more, which the caller has to notice.
    pub async fn wait_until_dead(&self, scene: &Scene, order: Uuid) -> anyhow::Result<()> {
        let parked = parked(order);
        let dead = format!("SELECT ({parked} AND state = 'DEAD') > 0 OR ({parked}) = 0");
        until(scene, &dead, "the order to be a dead letter").await
    }

    /// Takes it away, has an order tried again and waits until all that waited behind it is worked off.
    pub async fn lift(self, scene: &Scene, order: Option<Uuid>) -> anyhow::Result<()> {
        let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
        conn.query_drop("DROP TRIGGER IF EXISTS cursed").await?;
        let Some(order) = order else {
            return Ok(conn.disconnect().await?);
        };
        let worked_off = format!("SELECT ({}) = 0", parked(order));
        let is_worked_off = conn.query_first(&worked_off).await? == Some(1);
        conn.disconnect().await?;
        if !is_worked_off {
            scene.ops(&["dlq", "redrive", &order.to_string()]).await?;
            until(scene, &worked_off, "the key to be worked off").await?;
        }
        Ok(())
    }
}

/// How many records of an order are parked, in SQL.
fn parked(order: Uuid) -> String {
    format!("SELECT COUNT(*) FROM parked_records WHERE record_key = '{order}'")
}

/// Waits until a question is answered with something that is not 0.
async fn until(scene: &Scene, question: &str, what: &str) -> anyhow::Result<()> {
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    let deadline = Deadline::after(BOUND);
    loop {
        let answer: Option<i64> = conn.query_first(question).await?;
        if answer.unwrap_or_default() > 0 {
            return Ok(conn.disconnect().await?);
        }
        ensure!(!deadline.passed(), "waited {BOUND:?} for {what}");
        tokio::time::sleep(POLL).await;
    }
}

async fn dead_letters(scene: &Scene) -> anyhow::Result<u64> {
    let mut conn = mysql::connect(&scene.site.mysql_dsn).await?;
    let dead: Option<u64> = conn
        .query_first("SELECT COUNT(*) FROM parked_records WHERE state = 'DEAD'")
        .await?;
    conn.disconnect().await?;
    Ok(dead.unwrap_or_default())
}

/// A topic takes no more than a megabyte per record unless it is told to.
async fn take_large_records(brokers: &str, topic: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let limit = (2 * LARGE).to_string();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &limit);
    for answer in admin.alter_configs([&change], &AdminOptions::new()).await? {
        answer.map_err(|(_, code)| anyhow::anyhow!("{topic} is not altered: {code}"))?;
    }
    Ok(())
}

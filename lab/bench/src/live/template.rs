//! One real order, from PENDING to DELIVERED through all programs: what the copies are copies of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;
use shop_lab::check::Kind;
use shop_lab::check::evidence::Line;
use shop_lab::check::read::mongo;
use shop_lab::client::{Journal, Shop, documents};
use shop_lab::programs::{Plan, Programs, target};
use shop_lab::site::Site;
use shop_lab::stage::catalogue::create_product;
use uuid::Uuid;

use super::LAST_VERSION;
use super::copies::{Record, Template};

/// How long one step of the order may take.
const BOUND: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts the programs, takes one order through them, and stops them. The shop's tables and topics stay.
pub(super) async fn make(site: &Site) -> anyhow::Result<Template> {
    let plan = Plan::new("5m", target()?.join("bench-logs/programs"));
    let programs = Programs::start(site, &plan).await?;
    let made = take_through(&programs, site).await;
    programs.stop().await;
    made
}

async fn take_through(programs: &Programs, site: &Site) -> anyhow::Result<Template> {
    let shop = Shop::new(&programs.api.to_string(), Journal::default())?;
    let input = json!({ "name": "Ada Ålander", "email": "ada@example.org" });
    let document = documents::CREATE_USER;
    let customer = shop.manage("createUser", document, input, Kind::User);
    let customer = customer.await?;
    let mut lines = Vec::new();
    for (name, quantity) in [("Mug", 2), ("Teapot, 1 l", 1)] {
        let product = create_product(&shop, name, 1_000).await?;
        lines.push(Line { product, quantity });
    }
    // Until its document was read as it is at first.
    programs.pause("stock-reservation", true);
    let placed = shop.create_order(customer, &lines).await?;
    let placed = placed.context("createOrder was not answered")?;
    placed.watch.reached(&["PENDING"], BOUND).await?;
    let document = document_of(site, placed.id).await?;
    programs.pause("stock-reservation", false);
    placed.watch.reached(&["CONFIRMED"], BOUND).await?;
    shop.pay(placed.id).await?;
    for status in ["PROCESSING", "SHIPPED", "DELIVERED"] {
        shop.advance(placed.id, status).await?;
    }
    placed.watch.reached(&["DELIVERED"], BOUND).await?;
    let (site, order) = (site.clone(), placed.id);
    let records = tokio::task::spawn_blocking(move || records_of(&site, order)).await??;
    Ok(Template {
        order,
        customer,
        document,
        records,
    })
}

/// The order's document in the view, at version 1.
async fn document_of(site: &Site, order: Uuid) -> anyhow::Result<Vec<u8>> {
    let database = mongo::open(&site.mongo_uri).await?;
    let collection = database.collection::<Document>(&mongo::served(&database, "orders").await?);
    let id = mongodb::bson::Uuid::from_bytes(*order.as_bytes());
    let found = collection.find_one(doc! { "_id": id }).await?;
    let document = found.context("the order's view is missing")?;
    ensure!(
        document.get_i64("version")? == 1,
        "the view is ahead: {document}"
    );
    Ok(RawDocumentBuf::try_from(&document)?.into_bytes())
}

/// The order's records of `order-status`, by version.
fn records_of(site: &Site, order: Uuid) -> anyhow::Result<BTreeMap<u32, Record>> {
    let topic = format!("{}order-status", site.topic_prefix);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &site.kafka_brokers)
        .set("group.id", format!("{}bench", site.topic_prefix))
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
    let mut assignment = TopicPartitionList::new();
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    for partition in partitions {
        assignment.add_partition_offset(&topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let key = order.to_string();
    let mut records = BTreeMap::new();
    let deadline = Instant::now() + BOUND;
    while !(1..=LAST_VERSION).all(|version| records.contains_key(&version)) {
        if Instant::now() > deadline {
            bail!(
                "{topic} has only versions {:?} of the order",
                records.keys()
            );
        }
        let Some(message) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        let message = message?;
        if message.key() == Some(key.as_bytes()) {
            let record = record(&message)?;
            records.insert(record.version()?, record);
        }
    }
    Ok(records)
}

fn record(message: &BorrowedMessage<'_>) -> anyhow::Result<Record> {
    let mut headers = Vec::new();
    for header in message
        .headers()
        .context("a record without headers")?
        .iter()
    {
        let value = std::str::from_utf8(header.value.unwrap_or_default())?;
        headers.push((header.key.to_owned(), value.to_owned()));
    }
    let value = message.payload().context("a record without a value")?;
    let value = std::str::from_utf8(value).context("a record that is no JSON")?;
    Ok(Record {
        headers,
        value: value.to_owned(),
    })
}

//! Where the API finds its orders: documents in `MongoDB`, and one record per version in Kafka. Stands in for the other programs.

use std::time::Duration;

use anyhow::Context as _;
use mongodb::bson::RawDocumentBuf;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use shop_lab::check::read::mongo;
use shop_lab::client::Token;
use shop_lab::site::Site;

use super::copies::{Record, Template};

/// Documents that are written at once.
const BATCH: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes what the API reads.
pub(super) struct Store {
    template: Template,
    producer: FutureProducer,
    topic: String,
}

impl Store {
    /// Writes a document for each of so many copies, all at version 1; where they stay, whatever is published.
    pub async fn open(site: &Site, template: Template, copies: usize) -> anyhow::Result<Self> {
        let database = mongo::open(&site.mongo_uri).await?;
        let orders = mongo::served(&database, "orders").await?;
        let orders = database.collection::<RawDocumentBuf>(&orders);
        let numbers: Vec<usize> = (0..copies).collect();
        for batch in numbers.chunks(BATCH) {
            let documents = batch.iter().map(|copy| {
                let document = template.document_of(*copy)?;
                Ok(RawDocumentBuf::from_bytes(document)?)
            });
            let documents: Vec<_> = documents.collect::<anyhow::Result<_>>()?;
            orders
                .insert_many(documents)
                .await
                .context("failed to write copies of the order")?;
        }
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &site.kafka_brokers)
            .set("linger.ms", "0") // the first frame is waited for
            .create()?;
        let topic = format!("{}order-status", site.topic_prefix);
        // The first record need not wait for the connection.
        let (client, name) = (producer.clone(), topic.clone());
        let known = move || {
            client
                .client()
                .fetch_metadata(Some(&name), TIMEOUT)
                .map(drop)
        };
        tokio::task::spawn_blocking(known).await??;
        Ok(Self {
            template,
            producer,
            topic,
        })
    }

    /// The token of the order's buyer, whose all copies are.
    pub fn token(&self) -> anyhow::Result<String> {
        let token = Token::customer(self.template.customer)?;
        Ok(token.as_str().to_owned())
    }

    /// The public ids of the first copies.
    pub fn orders(&self, copies: usize) -> Vec<String> {
        (0..copies)
            .map(|copy| self.template.public_id_of(copy))
            .collect()
    }

    /// The records of a version of the first copies, ready to be sent.
    pub fn prepare(&self, copies: usize, version: u32) -> anyhow::Result<Prepared> {
        let record = |copy: usize| {
            let Record { headers, value } = self.template.record_of(copy, version)?;
            let mut with = OwnedHeaders::new_with_capacity(headers.len());
            for (key, value) in &headers {
                let value = Some(value.as_str());
                with = with.insert(Header { key, value });
            }
            Ok((self.template.id_of(copy).to_string(), with, value))
        };
        let records: anyhow::Result<_> = (0..copies).map(record).collect();
        Ok(Prepared(records?))
    }

    /// Sends records, and waits until Kafka has them.
    pub async fn publish(&self, prepared: Prepared) -> anyhow::Result<()> {
        let mut sent = Vec::with_capacity(prepared.0.len());
        for (key, headers, value) in prepared.0 {
            let record = FutureRecord::to(&self.topic)
                .key(&key)
                .payload(&value)
                .headers(headers);
            // The client's queue takes more than there are copies.
            let handed_over = self.producer.send_result(record);
            sent.push(handed_over.map_err(|(error, _)| error)?);
        }
        for outcome in futures::future::join_all(sent).await {
            let outcome = outcome.context("Kafka's client is gone")?;
            outcome.map_err(|(error, _)| error)?;
        }
        Ok(())
    }
}

/// Records that are ready to be sent: key, headers and value of each.
pub(super) struct Prepared(Vec<(String, OwnedHeaders, String)>);

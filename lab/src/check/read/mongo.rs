//! Reads the views.

use std::collections::BTreeMap;

use anyhow::Context;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};
use serde_json::Value;
use uuid::Uuid;

use crate::check::evidence::{Entity, Kind, Views};

/// Opens the database that an address names.
///
/// # Errors
/// If it names none, or makes no sense.
pub async fn open(uri: &str) -> anyhow::Result<Database> {
    let client = Client::with_uri_str(uri)
        .await
        .context("MONGO_URI is not an address")?;
    client
        .default_database()
        .context("MONGO_URI names no database")
}

/// Reads every view.
///
/// # Errors
/// If the server does not answer, or a document makes no sense.
pub async fn read(uri: &str) -> anyhow::Result<Views> {
    let database = open(uri).await?;
    let mut views = Views::new();
    for kind in Kind::VIEWED {
        let Some(collection) = kind.collection() else {
            continue;
        };
        let collection = &served(&database, collection).await?;
        let documents: Vec<Document> = database
            .collection(collection)
            .find(doc! {})
            .await?
            .try_collect()
            .await?;
        let entities: anyhow::Result<BTreeMap<Uuid, Entity>> = documents
            .into_iter()
            .map(|document| entity(document).with_context(|| format!("a document of {collection}")))
            .collect();
        views.insert(kind, entities?);
    }
    Ok(views)
}

/// The name that a view's collection has in the generation that is served.
///
/// # Errors
/// If the server does not answer, or the document that says so makes no sense.
pub async fn served(database: &Database, collection: &str) -> anyhow::Result<String> {
    let said = database
        .collection::<Document>("generations")
        .find_one(doc! { "_id": "served" })
        .await?;
    let generation = match said {
        None => 1,
        Some(said) => said
            .get_i64("generation")
            .or_else(|_| said.get_i32("generation").map(i64::from))
            .context("the document that says what is served names no generation")?,
    };
    Ok(if generation == 1 {
        collection.to_owned()
    } else {
        format!("{collection}_{generation}")
    })
}

fn entity(mut document: Document) -> anyhow::Result<(Uuid, Entity)> {
    let id = document.remove("_id").context("has no _id")?;
    let version = document.remove("version").context("has no version")?;
    let version = version
        .as_i64()
        .context("has a version that is no 64 bit number")?;
    let state = Bson::Document(document);
    let id = json(id)
        .as_str()
        .and_then(|id| Uuid::try_parse(id).ok())
        .context("has a bad _id")?;
    Ok((
        id,
        Entity {
            version: u32::try_from(version)?,
            state: json(state),
        },
    ))
}

/// The value in the form that the evidence has.
fn json(value: Bson) -> Value {
    match value {
        Bson::Binary(binary) => match Uuid::from_slice(&binary.bytes) {
            Ok(id) => id.to_string().into(),
            Err(_) => format!("{binary}").into(),
        },
        Bson::DateTime(at) => at.timestamp_millis().into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Boolean(truth) => truth.into(),
        Bson::String(text) => text.into(),
        Bson::Null => Value::Null,
        Bson::Array(items) => items.into_iter().map(json).collect(),
        Bson::Document(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, json(value)))
            .collect(),
        other => format!("{other}").into(),
    }
}

//! Records by where they stand, as a parameter of a statement.

use serde::Serialize;

use crate::db::StoreError;
use crate::events::{Source, Topic};

/// Rows of a statement's parameter, as a table to join with.
pub(super) const PLACES: &str = "JSON_TABLE(?, '$[*]' COLUMNS (t VARCHAR(32) PATH '$.t', p INT PATH '$.p', o BIGINT PATH '$.o', \
     tries INT UNSIGNED PATH '$.tries', wait BIGINT PATH '$.wait', cause TEXT PATH '$.cause', \
     causes TEXT PATH '$.causes')) AS places";
pub(super) const SAME_PLACE: &str =
    "p.topic = places.t AND p.partition_no = places.p AND p.log_offset = places.o";

#[derive(Default, Serialize)]
pub(super) struct Place<'a> {
    pub(super) t: &'static str,
    pub(super) p: i32,
    pub(super) o: i64,
    pub(super) tries: u32,
    pub(super) wait: i64,
    pub(super) cause: &'a str,
    pub(super) causes: &'a str,
}

impl Place<'_> {
    pub(super) fn new(topic: Topic, partition: i32, offset: i64) -> Self {
        Self {
            t: topic.as_str(),
            p: partition,
            o: offset,
            ..Self::default()
        }
    }

    pub(super) fn at(source: Source) -> Self {
        Self::new(source.topic, source.partition, source.offset)
    }
}

pub(super) fn places(sources: &[Source]) -> Result<String, StoreError> {
    json(
        &sources
            .iter()
            .map(|source| Place::at(*source))
            .collect::<Vec<_>>(),
    )
}

pub(super) fn json(rows: &[Place<'_>]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| {
        StoreError::Failed(diesel::result::Error::SerializationError(error.into()))
    })
}

pub(super) fn source(topic: &str, partition: i32, offset: i64) -> Result<Source, StoreError> {
    Ok(Source {
        topic: topic
            .parse()
            .map_err(|_| StoreError::corrupt("topic", topic))?,
        partition,
        offset,
    })
}

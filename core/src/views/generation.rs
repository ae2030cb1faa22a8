//! Generations: the collections exist once per generation, and one small document says which generation is served.
//!
//! The first generation has the bare names, `orders`; the others a number, `orders_2`. Whoever reads follows the document:
//! what it said counts for [`FOLLOWS_WITHIN`], then it is read again. Whoever writes reads it before and after each write,
//! and repeats what was written across a change of its epoch; see ADR 0030 for why no reader sees a version fall.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc, rawdoc};
use serde::{Deserialize, Serialize};

use super::apply::UpdateAnswer;
use super::{ViewError, Views};

/// How long a reader may go on with the generation that it found served: the bound on its staleness after a switch.
pub const FOLLOWS_WITHIN: Duration = Duration::from_millis(500);

/// The generation that is served where nothing else was said yet.
const FIRST: u32 = 1;
const COLLECTION: &str = "generations";
const ID: &str = "served";

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The generation that is read and written.
    pub generation: u32,
    /// Grows with every change of this document.
    pub epoch: i64,
    /// Whether writers are to wait.
    pub paused: bool,
    /// The highest number that was ever given to a generation.
    pub last: u32,
    /// Generations that were served before and are kept.
    pub kept: Vec<u32>,
}

impl Default for Served {
    fn default() -> Self {
        Self {
            generation: FIRST,
            epoch: 0,
            paused: false,
            last: FIRST,
            kept: Vec::new(),
        }
    }
}

/// Which generation a [`Views`] works on.
#[derive(Clone)]
pub(super) enum Which {
    /// The one that is served.
    Served(Arc<Followed>),
    /// This one, whatever is served.
    Fixed(u32),
}

/// What a reader found last, and when it began to ask.
#[derive(Default)]
pub(super) struct Followed {
    found: Mutex<Option<(u32, Instant)>>,
    /// One asks, the others wait for its answer.
    asking: tokio::sync::Mutex<()>,
}

impl Followed {
    fn fresh(&self) -> Option<u32> {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found
            .filter(|(_, asked)| asked.elapsed() < FOLLOWS_WITHIN)
            .map(|(generation, _)| generation)
    }

    fn note(&self, generation: u32, asked: Instant) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, asked));
    }
}

/// A collection's name in a generation.
pub(super) fn name_in(collection: &str, generation: u32) -> String {
    if generation == FIRST {
        collection.to_owned()
    } else {
        format!("{collection}_{generation}")
    }
}

/// The generation of a collection's name; `None` if it is no name of the collection's.
fn generation_of(name: &str, collection: &str) -> Option<u32> {
    let rest = name.strip_prefix(collection)?;
    if rest.is_empty() {
        return Some(FIRST);
    }
    let number: u32 = rest.strip_prefix('_')?.parse().ok()?;
    (number > FIRST && name_in(collection, number) == name).then_some(number)
}

impl Views {
    /// The same views, held to one generation.
    #[must_use]
    pub fn at(&self, generation: u32) -> Self {
        Self {
            which: Which::Fixed(generation),
            ..self.clone()
        }
    }

    /// The generation that this works on.
    pub async fn generation(&self) -> Result<u32, ViewError> {
        let followed = match &self.which {
            Which::Fixed(generation) => return Ok(*generation),
            Which::Served(followed) => followed,
        };
        if let Some(generation) = followed.fresh() {
            return Ok(generation);
        }
        let _turn = followed.asking.lock().await;
        if let Some(generation) = followed.fresh() {
            return Ok(generation);
        }
        let asked = Instant::now(); // before the question: the answer may be older than its arrival
        let generation = self.served().await?.generation;
        followed.note(generation, asked);
        Ok(generation)
    }

    /// A collection's name in the generation that this works on.
    pub(super) async fn name(&self, collection: &str) -> Result<String, ViewError> {
        Ok(name_in(collection, self.generation().await?))
    }

    /// What the document says now.
    pub async fn served(&self) -> Result<Served, ViewError> {
        let collection = self.database.collection::<Document>(COLLECTION);
        let found = self.within(collection.find_one(doc! { "_id": ID })).await?;
        match found {
            None => Ok(Served::default()),
            Some(document) => {
                mongodb::bson::deserialize_from_document(document).map_err(|_| unreadable())
            }
        }
    }

    /// Changes the document if nobody else has changed it since it said `from`. Returns what it says then; `None` if
    /// somebody else was quicker.
    pub async fn change_served(
        &self,
        from: &Served,
        to: Served,
    ) -> Result<Option<Served>, ViewError> {
        let to = Served {
            epoch: from.epoch + 1,
            ..to
        };
        let document =
            mongodb::bson::serialize_to_raw_document_buf(&to).map_err(ViewError::Encode)?;
        let mut statement = rawdoc! {
            "q": { "_id": ID, "epoch": from.epoch },
            "u": document,
        };
        if from.epoch == 0 {
            // There is no document yet; the one who comes second meets its `_id`.
            statement.append(mongodb::bson::cstr!("upsert"), true);
        }
        let answer = self
            .within(self.database.run_raw_command(rawdoc! {
                "update": COLLECTION,
                "updates": [statement],
                "writeConcern": { "w": "majority", "j": true },
            }))
            .await?;
        let answer: UpdateAnswer =
            mongodb::bson::deserialize_from_document(answer).map_err(|_| unreadable())?;
        Ok((answer.settled()? == 1).then_some(to))
    }

    /// Every generation of which there is at least one collection.
    pub async fn generations(&self) -> Result<BTreeSet<u32>, ViewError> {
        let names = self.within(self.database.list_collection_names()).await?;
        Ok(names
            .iter()
            .filter_map(|name| {
                super::View::ALL
                    .iter()
                    .find_map(|view| generation_of(name, view.collection()))
            })
            .collect())
    }

    /// Removes the collections of a generation. Whether it may go is the caller's business.
    pub async fn drop_generation(&self, generation: u32) -> Result<(), ViewError> {
        for view in super::View::ALL {
            let name = name_in(view.collection(), generation);
            let collection = self.database.collection::<Document>(&name);
            self.within(collection.drop()).await?;
        }
        Ok(())
    }
}

fn unreadable() -> ViewError {
    ViewError::Corrupt {
        collection: COLLECTION,
        what: "the document that says what is served",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_generations_tell_each_other() {
        for generation in [1, 2, 10, 4_000_000_000] {
            let name = name_in("orders", generation);
            assert_eq!(generation_of(&name, "orders"), Some(generation));
            assert_eq!(generation_of(&name, "users"), None);
        }
        for name in [
            "orders_",
            "orders_0",
            "orders_1",
            "orders_01",
            "orders_x",
            "orders_-2",
            "order",
        ] {
            assert_eq!(generation_of(name, "orders"), None, "{name}");
        }
    }
}

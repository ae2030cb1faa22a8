//! Documents as they are stored, for whoever compares: the auditor and a rebuild.

use futures::TryStreamExt;
use mongodb::bson::{Binary, Bson, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use uuid::Uuid;

use super::apply::{UpdateAnswer, Write, Written};
use super::fields::{bson_uuid, uuid};
use super::{ViewError, Views, order_document, orders, products, stock_levels, users};
use crate::events::Payload;

/// Statements in one command, at most.
const MAX_STATEMENTS: usize = 500;
/// How much of a value is shown.
const SHOWN: usize = 80;

/// A view by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Users.
    Users,
    /// Products.
    Products,
    /// How much there is of each product.
    StockLevels,
    /// Orders.
    Orders,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Users, Self::Products, Self::StockLevels, Self::Orders];

    /// The name of its collection in the first generation.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Users => users::COLLECTION,
            Self::Products => products::COLLECTION,
            Self::StockLevels => stock_levels::COLLECTION,
            Self::Orders => order_document::COLLECTION,
        }
    }

    /// The public form of an id of one of its documents.
    pub fn id(self, id: Uuid) -> String {
        use crate::domain::{OrderId, ProductId, UserId};
        match self {
            Self::Users => UserId::from_uuid(id).to_string(),
            Self::Products | Self::StockLevels => ProductId::from_uuid(id).to_string(),
            Self::Orders => OrderId::from_uuid(id).to_string(),
        }
    }
}

/// A document of a view, as it is stored or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    id: Uuid,
    document: RawDocumentBuf,
}

/// A field that differs between two documents, with what each has; `None` for a field that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Where it is: `timeline[2].reason`.
    pub field: String,
    /// What it should be.
    pub expected: Option<String>,
    /// What it is.
    pub found: Option<String>,
}

impl std::fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_nothing = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        let (found, expected) = (or_nothing(&self.found), or_nothing(&self.expected));
        write!(f, "{} is {found}, not {expected}", self.field)
    }
}

impl Image {
    /// The document that the projector makes of a state; `None` for what is in no view.
    ///
    /// # Errors
    /// [`ViewError::Encode`].
    pub fn of(payload: &Payload) -> Result<Option<(View, Self)>, ViewError> {
        let (view, write) = match payload {
            Payload::User(user) => (View::Users, users::write(user)?),
            Payload::Product(product) => (View::Products, products::write(product)?),
            Payload::StockLevel(level) => (View::StockLevels, stock_levels::write(level)?),
            Payload::Order(order) => (View::Orders, orders::write(order)?),
            Payload::Stock(_) => return Ok(None),
        };
        let (id, document) = write.into_parts();
        let id = uuid(id);
        Ok(Some((view, Self { id, document })))
    }

    /// Whose document it is.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its version; `None` if it has none that can be read.
    pub fn version(&self) -> Option<i64> {
        self.document.get_i64("version").ok()
    }

    /// The fields that `found` does not share with this document. None for documents that are equal.
    pub fn differences(&self, found: &Self) -> Vec<FieldDifference> {
        let mut differences = Vec::new();
        if self.document == found.document {
            return differences; // byte by byte, which is how two of the same state nearly always are
        }
        let read = |image: &Self| {
            let document = mongodb::bson::Document::try_from(image.document.as_ref());
            document.map(Bson::Document).ok()
        };
        compare(
            "",
            read(self).as_ref(),
            read(found).as_ref(),
            &mut differences,
        );
        differences
    }

    fn read(document: RawDocumentBuf, view: View) -> Result<Self, ViewError> {
        let id = match document.get("_id") {
            Ok(Some(mongodb::bson::RawBsonRef::Binary(binary))) => {
                Uuid::from_slice(binary.bytes).ok()
            }
            _ => None,
        };
        let id = id.ok_or(ViewError::Corrupt {
            collection: view.collection(),
            what: "an id",
        })?;
        Ok(Self { id, document })
    }

    /// Only this document, as long as nobody changes it.
    fn condition(&self) -> RawDocumentBuf {
        let mut condition = rawdoc! { "_id": Binary::from(bson_uuid(self.id)) };
        let version = self.document.get("version").ok().flatten();
        let version = version.map_or(mongodb::bson::RawBson::Null, Into::into);
        condition.append(mongodb::bson::cstr!("version"), version);
        condition
    }
}

fn compare(
    field: &str,
    expected: Option<&Bson>,
    found: Option<&Bson>,
    differences: &mut Vec<FieldDifference>,
) {
    match (expected, found) {
        (Some(Bson::Document(expected)), Some(Bson::Document(found))) => {
            let dot = if field.is_empty() { "" } else { "." };
            let only_found = found.keys().filter(|name| !expected.contains_key(name));
            for name in expected.keys().chain(only_found) {
                let inner = format!("{field}{dot}{name}");
                compare(&inner, expected.get(name), found.get(name), differences);
            }
        }
        (Some(Bson::Array(expected)), Some(Bson::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                let inner = format!("{field}[{index}]");
                compare(&inner, expected.get(index), found.get(index), differences);
            }
        }
        _ if expected == found => {}
        _ => differences.push(FieldDifference {
            field: field.to_owned(),
            expected: expected.map(shown),
            found: found.map(shown),
        }),
    }
}

fn shown(value: &Bson) -> String {
    let text = match value {
        Bson::Binary(binary) => match Uuid::from_slice(&binary.bytes) {
            Ok(id) => id.to_string(),
            Err(_) => format!("{} bytes", binary.bytes.len()),
        },
        Bson::DateTime(at) => at
            .try_to_rfc3339_string()
            .unwrap_or_else(|_| at.to_string()),
        Bson::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

impl Views {
    /// Documents of a view by id, those after `after`, at most `limit`.
    pub async fn images_after(
        &self,
        view: View,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Image>, ViewError> {
        let filter = after.map_or_else(
            || doc! {},
            |after| doc! { "_id": { "$gt": bson_uuid(after) } },
        );
        let name = self.name(view.collection()).await?;
        let collection = self.database.collection::<RawDocumentBuf>(&name);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = async {
            let cursor = collection.find(filter).sort(doc! { "_id": 1 }).limit(limit);
            cursor.await?.try_collect::<Vec<_>>().await
        };
        let found = self.within(find).await?;
        found
            .into_iter()
            .map(|document| Image::read(document, view))
            .collect()
    }

    /// The documents of some ids, deleted or not, in no particular order.
    pub async fn images(&self, view: View, ids: &[Uuid]) -> Result<Vec<Image>, ViewError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Bson> = ids.iter().map(|id| bson_uuid(*id).into()).collect();
        let name = self.name(view.collection()).await?;
        let collection = self.database.collection::<RawDocumentBuf>(&name);
        let find = async {
            let cursor = collection.find(doc! { "_id": { "$in": ids } });
            cursor.await?.try_collect::<Vec<_>>().await
        };
        let found = self.within(find).await?;
        found
            .into_iter()
            .map(|document| Image::read(document, view))
            .collect()
    }

    /// Writes states into a view, newest wins, as the projector does.
    pub async fn apply_images(
        &self,
        view: View,
        images: &[Image],
    ) -> Result<Vec<Written>, ViewError> {
        let writes = images.iter().map(|image| {
            let version = image.version().unwrap_or_default();
            Write::from_parts(bson_uuid(image.id), version, image.document.clone())
        });
        let writes: Vec<Write> = writes.collect();
        self.apply(view.collection(), &writes).await
    }

    /// Puts documents in the place of others that are wrong, whatever their versions say, unless somebody has changed
    /// those meanwhile. In: what was found, and what should be there; nothing, for a document that should not.
    pub async fn replace_images(
        &self,
        view: View,
        wrong: &[(Image, Option<Image>)],
    ) -> Result<(), ViewError> {
        let name = self.name(view.collection()).await?;
        for chunk in wrong.chunks(MAX_STATEMENTS) {
            let (mut updates, mut deletes) = (RawArrayBuf::new(), RawArrayBuf::new());
            for (found, expected) in chunk {
                match expected {
                    Some(image) => updates.push(rawdoc! {
                        "q": found.condition(),
                        "u": image.document.clone(),
                    }),
                    None => deletes.push(rawdoc! { "q": found.condition(), "limit": 1 }),
                }
            }
            for (verb, statements, list) in [
                (
                    mongodb::bson::cstr!("update"),
                    updates,
                    mongodb::bson::cstr!("updates"),
                ),
                (
                    mongodb::bson::cstr!("delete"),
                    deletes,
                    mongodb::bson::cstr!("deletes"),
                ),
            ] {
                if statements.is_empty() {
                    continue;
                }
                let mut command = RawDocumentBuf::new();
                command.append(verb, name.as_str());
                command.append(list, statements);
                command.append(
                    mongodb::bson::cstr!("writeConcern"),
                    rawdoc! { "w": "majority", "j": true },
                );
                let answer = self.within(self.database.run_raw_command(command)).await?;
                let answer: UpdateAnswer = mongodb::bson::deserialize_from_document(answer)
                    .map_err(|_| ViewError::Corrupt {
                        collection: view.collection(),
                        what: "the answer to a write",
                    })?;
                answer.settled()?;
            }
        }
        Ok(())
    }
}

//! The guarded write: a document is replaced only by a newer version of itself.

use std::collections::HashMap;

use futures::TryStreamExt;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Binary, RawArrayBuf, RawDocumentBuf, Uuid, doc, rawdoc};
use serde::{Deserialize, Serialize};

use super::{ViewError, Views};
use crate::domain::Version;
use crate::runtime::guard::{self, Guard};

/// Statements in one command, at most. The server's limit is 100,000.
const MAX_STATEMENTS: usize = 1_000;
/// Bytes of documents in one command, at most. A command is itself a document, so the server's limit is 16 MiB.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How often a write that lost a race is tried again.
const ATTEMPTS: usize = 8;
/// Bytes of one document, at most. `FerretDB` says so with a number that tells nothing, so it is told here.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
const DUPLICATE_KEY: i32 = 11_000;

/// What became of one document of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Written {
    /// The document was older, or missing, and is this version now.
    Applied,
    /// The document is this version already, or a later one.
    Duplicate,
}

/// One document to write.
pub(super) struct Write {
    id: Uuid,
    version: i64,
    document: RawDocumentBuf,
}

impl Write {
    pub fn new(id: Uuid, version: Version, document: &impl Serialize) -> Result<Self, ViewError> {
        let document =
            mongodb::bson::serialize_to_raw_document_buf(document).map_err(ViewError::Encode)?;
        Ok(Self {
            id,
            version: version.into(),
            document,
        })
    }

    /// A document that is encoded already.
    pub fn from_parts(id: Uuid, version: i64, document: RawDocumentBuf) -> Self {
        Self {
            id,
            version,
            document,
        }
    }

    /// The id and the document.
    pub fn into_parts(self) -> (Uuid, RawDocumentBuf) {
        (self.id, self.document)
    }

    fn bytes(&self) -> usize {
        self.document.as_bytes().len()
    }

    fn statement(&self) -> RawDocumentBuf {
        let mut document = rawdoc! { "_id": Binary::from(self.id) };
        if guard::is_on(Guard::VersionGuard) {
            document.append(cstr!("version"), rawdoc! { "$lt": self.version });
        }
        rawdoc! {
            "q": document,
            "u": self.document.clone(),
            "upsert": true,
        }
    }
}

#[derive(Deserialize)]
struct StoredVersion {
    #[serde(rename = "_id")]
    id: Uuid,
    version: i64,
}

#[derive(Deserialize)]
pub(super) struct UpdateAnswer {
    #[serde(default)]
    n: i64,
    #[serde(default, rename = "writeErrors")]
    write_errors: Vec<WriteError>,
    #[serde(rename = "writeConcernError")]
    write_concern_error: Option<ConcernError>,
}

#[derive(Deserialize)]
struct WriteError {
    index: i32,
    code: i32,
}

/// The write happened and did not reach most of the servers in time; it may yet be lost.
#[derive(Deserialize)]
struct ConcernError {
    code: i32,
}

impl UpdateAnswer {
    /// How many documents a command without several statements has changed or made; none if its `_id` was there already.
    pub fn settled(&self) -> Result<i64, ViewError> {
        if let Some(concern) = &self.write_concern_error {
            return Err(ViewError::NotDone { code: concern.code });
        }
        match self
            .write_errors
            .iter()
            .find(|error| error.code != DUPLICATE_KEY)
        {
            Some(error) => Err(ViewError::from_code(error.code)),
            None => Ok(self.n),
        }
    }
}

impl Views {
    /// Writes documents of one collection; what became of each is at its place in the answer.
    ///
    /// A guarded upsert of a document that is *not* older finds nothing, tries to insert, and meets the existing `_id`:
    /// error 11000. So does one that lost a race against an older version. The stored versions tell the two apart.
    pub(super) async fn apply(
        &self,
        collection: &'static str,
        writes: &[Write],
    ) -> Result<Vec<Written>, ViewError> {
        if let Some(bytes) = writes
            .iter()
            .map(Write::bytes)
            .find(|bytes| *bytes > MAX_DOCUMENT_BYTES)
        {
            return Err(ViewError::TooLarge { collection, bytes });
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let name = self.name(collection).await?;
        let name = name.as_str();
        let mut written = vec![Written::Applied; writes.len()];
        // By id: FerretDB locks the documents of one command one after the other and keeps the locks to its end, so two
        // writers in different orders would be a deadlock (its code 16908292, found after a second and more).
        let mut pending: Vec<usize> = (0..writes.len()).collect();
        pending.sort_by_key(|index| writes[*index].id.bytes());
        for _ in 0..ATTEMPTS {
            let refused = self.try_all(collection, name, writes, &pending).await?;
            if refused.is_empty() {
                return Ok(written);
            }
            let stored = self.stored_versions(name, writes, &refused).await?;
            let (done, lost) = judge(writes, refused, &stored);
            for index in done {
                written[index] = Written::Duplicate;
            }
            if lost.is_empty() {
                return Ok(written);
            }
            pending = lost;
        }
        Err(ViewError::Contended { collection })
    }

    /// Sends the statements, in as few commands as the limits allow. Returns which met an existing `_id`.
    async fn try_all(
        &self,
        collection: &'static str,
        name: &str,
        writes: &[Write],
        pending: &[usize],
    ) -> Result<Vec<usize>, ViewError> {
        let mut refused = Vec::new();
        for chunk in chunks(writes, pending) {
            let mut statements = RawArrayBuf::new();
            for index in chunk {
                statements.push(writes[*index].statement());
            }
            let answer = self
                .within(self.database.run_raw_command(rawdoc! {
                    "update": name,
                    "updates": statements,
                    "ordered": false,
                    "writeConcern": { "w": "majority", "j": true },
                }))
                .await?;
            let answer: UpdateAnswer =
                mongodb::bson::deserialize_from_document(answer).map_err(|_| {
                    ViewError::Corrupt {
                        collection,
                        what: "the answer to a write",
                    }
                })?;
            for error in answer.write_errors {
                let place = usize::try_from(error.index)
                    .ok()
                    .and_then(|place| chunk.get(place));
                match place {
                    Some(index) if error.code == DUPLICATE_KEY => refused.push(*index),
                    _ => return Err(ViewError::from_code(error.code)),
                }
            }
            if let Some(concern) = answer.write_concern_error {
                return Err(ViewError::NotDone { code: concern.code });
            }
        }
        Ok(refused)
    }

    async fn stored_versions(
        &self,
        name: &str,
        writes: &[Write],
        wanted: &[usize],
    ) -> Result<HashMap<Uuid, i64>, ViewError> {
        let ids: Vec<Uuid> = wanted.iter().map(|index| writes[*index].id).collect();
        let collection = self.database.collection::<StoredVersion>(name);
        let find = async {
            let cursor = collection
                .find(doc! { "_id": { "$in": ids } })
                .projection(doc! { "version": 1 });
            cursor
                .await?
                .map_ok(|stored| (stored.id, stored.version))
                .try_collect()
                .await
        };
        self.within(find).await
    }
}

/// Tells writes that met a document at their version or a later one from those that lost a race against an older one.
fn judge(
    writes: &[Write],
    refused: Vec<usize>,
    stored: &HashMap<Uuid, i64>,
) -> (Vec<usize>, Vec<usize>) {
    refused.into_iter().partition(|index| {
        let write = &writes[*index];
        stored
            .get(&write.id)
            .is_some_and(|version| *version >= write.version)
    })
}

/// Cuts what is pending into commands.
fn chunks<'a>(writes: &[Write], pending: &'a [usize]) -> Vec<&'a [usize]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, index) in pending.iter().enumerate() {
        let size = writes[*index].bytes();
        if place > start && (place - start == MAX_STATEMENTS || bytes + size > MAX_BYTES) {
            chunks.push(&pending[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += size;
    }
    if start < pending.len() {
        chunks.push(&pending[start..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bytes: usize) -> Write {
        let document = rawdoc! { "filler": "x".repeat(bytes) };
        Write {
            id: Uuid::from_bytes([0; 16]),
            version: 1,
            document,
        }
    }

    /// `FerretDB` settles such a race by itself, so only `MongoDB` would show it.
    #[test]
    fn a_write_that_lost_against_an_older_version_is_tried_again() {
        let id = |byte| Uuid::from_bytes([byte; 16]);
        let write = |byte| Write {
            id: id(byte),
            version: 5,
            document: RawDocumentBuf::new(),
        };
        let writes: Vec<Write> = (0..5).map(write).collect();
        let stored = HashMap::from([(id(0), 4), (id(1), 5), (id(2), 6)]);
        let (done, lost) = judge(&writes, vec![0, 1, 2, 3], &stored);
        assert_eq!((done, lost), (vec![1, 2], vec![0, 3]));
    }

    fn lengths(writes: &[Write]) -> Vec<usize> {
        let pending: Vec<usize> = (0..writes.len()).collect();
        chunks(writes, &pending)
            .iter()
            .map(|chunk| chunk.len())
            .collect()
    }

    #[test]
    fn commands_stay_within_both_limits_and_leave_nothing_out() {
        assert_eq!(lengths(&[]), [0_usize; 0]);
        let many: Vec<Write> = (0..2_500).map(|_| write(10)).collect();
        assert_eq!(lengths(&many), [1_000, 1_000, 500]);
        let large: Vec<Write> = (0..5).map(|_| write(3 * 1024 * 1024)).collect();
        assert_eq!(lengths(&large), [2, 2, 1]);
        let huge: Vec<Write> = (0..2).map(|_| write(9 * 1024 * 1024)).collect();
        assert_eq!(
            lengths(&huge),
            [1, 1],
            "one that is too large travels alone and is refused by name"
        );
    }
}

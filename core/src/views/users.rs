//! Users, newest first.

use mongodb::bson::{DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};

use super::apply::{Write, Written};
use super::cursor::UserCursor;
use super::fields::{Reader, Tombstone, bson_uuid, date, fold_case, timestamp, uuid};
use super::page::{Listing, Page, PageRequest, SortField, descending};
use super::{ViewError, Views};
use crate::domain::{User, UserId};

pub(super) const COLLECTION: &str = "users";
const READER: Reader = Reader(COLLECTION);
const NEWEST_FIRST: &[SortField] = &[descending("_id")];

pub(super) fn indexes() -> Vec<Document> {
    vec![doc! { "email_lower": 1 }]
}

#[derive(Debug, Serialize, Deserialize)]
struct UserDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    version: i64,
    deleted: bool,
    name: String,
    email: String,
    /// What a search without case compares.
    email_lower: String,
    created_at: DateTime,
    updated_at: DateTime,
}

impl From<&User> for UserDocument {
    fn from(user: &User) -> Self {
        Self {
            id: bson_uuid(user.id.uuid()),
            version: user.version.into(),
            deleted: false,
            name: user.name.clone(),
            email: user.email.clone(),
            email_lower: fold_case(&user.email),
            created_at: date(user.created_at),
            updated_at: date(user.updated_at),
        }
    }
}

impl TryFrom<UserDocument> for User {
    type Error = ViewError;

    fn try_from(document: UserDocument) -> Result<Self, ViewError> {
        Ok(Self {
            id: UserId::from_uuid(uuid(document.id)),
            version: READER.count(document.version, "a version")?,
            name: document.name,
            email: document.email,
            created_at: timestamp(document.created_at),
            updated_at: timestamp(document.updated_at),
            deleted: document.deleted,
        })
    }
}

pub(super) fn write(user: &User) -> Result<Write, ViewError> {
    let id = bson_uuid(user.id.uuid());
    if user.deleted {
        let rest = Tombstone::new(
            user.id.uuid(),
            user.version,
            user.created_at,
            user.updated_at,
        );
        return Write::new(id, user.version, &rest);
    }
    Write::new(id, user.version, &UserDocument::from(user))
}

/// Which users a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only the one with this e-mail address, whatever the case.
    pub email: Option<String>,
}

impl Views {
    /// Writes the newest known state of each user; what became of each is at its place in the answer.
    pub async fn apply_users(&self, users: &[User]) -> Result<Vec<Written>, ViewError> {
        let writes = users.iter().map(write).collect::<Result<Vec<_>, _>>()?;
        self.apply(COLLECTION, &writes).await
    }

    /// The users among these ids that exist, in no particular order.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, ViewError> {
        let ids = ids.iter().map(|id| bson_uuid(id.uuid()).into()).collect();
        let documents: Vec<UserDocument> = self.get(COLLECTION, ids).await?;
        documents.into_iter().map(User::try_from).collect()
    }

    /// A user, unless unknown or deleted.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, ViewError> {
        Ok(self.users(&[id]).await?.pop())
    }

    /// A page of users, newest first.
    pub async fn list_users(
        &self,
        filter: &UserFilter,
        page: PageRequest<UserCursor>,
    ) -> Result<Page<User>, ViewError> {
        let mut wanted = doc! { "deleted": false };
        if let Some(email) = &filter.email {
            wanted.insert("email_lower", fold_case(email.trim()));
        }
        let listing = Listing {
            collection: COLLECTION,
            filter: wanted,
            order: NEWEST_FIRST,
        };
        let documents: Page<UserDocument> = self.page(&listing, page.map(UserCursor::key)).await?;
        documents.try_map(User::try_from)
    }
}

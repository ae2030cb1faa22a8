//! What can go wrong with the views, told apart by what the caller can do about it.

use std::time::Duration;

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

/// The collection is there already.
pub(super) const NAMESPACE_EXISTS: i32 = 48;

/// Codes that say that the request itself is wrong: `BadValue`, `FailedToParse`, `Unauthorized`, `TypeMismatch`,
/// `AuthenticationFailed`, `NamespaceExists`, `CommandNotFound`, `ImmutableField`, `CannotCreateIndex`, `InvalidNamespace`,
/// `InvalidOptions`, `IndexOptionsConflict`, `IndexKeySpecsConflict`, `DocumentValidationFailure`, `BSONObjectTooLarge`
/// and its older number. Anything else passes: a server that is starting, stopping, electing or out of connections.
const OUR_FAULT: [i32; 16] = [
    2,
    9,
    13,
    14,
    18,
    NAMESPACE_EXISTS,
    59,
    66,
    67,
    72,
    73,
    85,
    86,
    121,
    10334,
    17280,
];

/// A failure of the read side. `Display` never holds an address, a document or a value of one.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The server can not be reached or can not serve now: try again later.
    #[error("MongoDB is away")]
    Unavailable(#[source] DriverError),
    /// The server did not answer in time; a write may still happen, and may be repeated.
    #[error("MongoDB did not answer within {0:?}")]
    TimedOut(Duration),
    /// The server took the request and could not carry it out now: try again later.
    #[error("MongoDB could not carry out a write ({code})")]
    NotDone {
        /// The server's number.
        code: i32,
    },
    /// Other writers of the same documents came first again and again: try again.
    #[error("writers of collection {collection} stood in each other's way")]
    Contended {
        /// Which collection.
        collection: &'static str,
    },
    /// The server does not do what it was asked to: a mistake of ours, or a right that is missing.
    #[error("MongoDB refused an operation ({code})")]
    Refused {
        /// The server's number.
        code: i32,
    },
    /// The answer or a document is not what our programs write.
    #[error("{what} in collection {collection} can not be read")]
    Corrupt {
        /// Which collection.
        collection: &'static str,
        /// What of it.
        what: &'static str,
    },
    /// The driver can not be used like this: a mistake of ours.
    #[error("the MongoDB driver refused an operation")]
    Failed(#[source] DriverError),
    /// A document can not be written as BSON: a mistake of ours.
    #[error("a document can not be encoded")]
    Encode(#[source] mongodb::bson::error::Error),
    /// A document is larger than the server takes.
    #[error("a document of {bytes} bytes for collection {collection} is too large")]
    TooLarge {
        /// Which collection.
        collection: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The setting is no address.
    #[error("MONGO_URI is no address such as mongodb://host:port/database")]
    BadAddress,
    /// A cursor of another order of the list.
    #[error("the cursor belongs to another sort order")]
    ForeignCursor,
}

impl ViewError {
    /// Whether trying again, without any change, can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::TimedOut(_)
                | Self::NotDone { .. }
                | Self::Contended { .. }
        )
    }

    /// A statement that failed. The server's message may quote the document, so only its number is kept.
    pub(super) fn from_code(code: i32) -> Self {
        if OUR_FAULT.contains(&code) {
            Self::Refused { code }
        } else {
            Self::NotDone { code }
        }
    }
}

impl From<DriverError> for ViewError {
    fn from(error: DriverError) -> Self {
        let code = match error.kind.as_ref() {
            ErrorKind::Command(refusal) => Some(refusal.code),
            ErrorKind::Write(WriteFailure::WriteError(refusal)) => Some(refusal.code),
            ErrorKind::InvalidArgument { .. }
            | ErrorKind::InvalidTlsConfig { .. }
            | ErrorKind::BsonSerialization(_)
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::Bson(_)
            | ErrorKind::IncompatibleServer { .. }
            | ErrorKind::Shutdown => return Self::Failed(error),
            _ => None,
        };
        match code {
            Some(code) if OUR_FAULT.contains(&code) => Self::Refused { code },
            _ => Self::Unavailable(error),
        }
    }
}

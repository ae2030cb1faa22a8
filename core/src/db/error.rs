//! What can go wrong with MySQL, told apart by what the caller can do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// A failure of the write side. `Display` never holds a statement or a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// MySQL can not be reached or does not answer in time: nothing was changed, try again later.
    #[error("MySQL is away")]
    Unavailable(#[source] anyhow::Error),
    /// A COMMIT was sent and no answer came: whether the changes were made is not known.
    #[error("MySQL did not say whether a transaction was committed")]
    InDoubt(#[source] anyhow::Error),
    /// Two transactions stood in each other's way; the whole transaction can be tried again at once.
    #[error("the transaction was chosen to give way")]
    Conflict(#[source] DieselError),
    /// A row with this unique value is there already.
    #[error("a unique value is taken")]
    Duplicate(#[source] DieselError),
    /// A row holds what the rules do not know.
    #[error("column {column} holds the unknown value {value:?}")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// An event is larger than [`crate::domain::limits::EVENT_BYTES`].
    #[error("an event of {bytes} bytes is too large")]
    EventTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Anything else: a mistake of ours.
    #[error("a statement failed")]
    Failed(#[source] DieselError),
}

impl StoreError {
    /// A value that no program of ours has written.
    pub fn corrupt(column: &'static str, value: &str) -> Self {
        Self::Corrupt {
            column,
            value: value.to_owned(),
        }
    }

    /// Whether a lock was waited for in vain.
    pub(super) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Conflict(DieselError::DatabaseError(_, info)) if info.message().contains(LOCK_TIMEOUT))
    }

    /// Whether a value was missing where there must be one.
    pub(super) fn is_missing_value(&self) -> bool {
        matches!(
            self,
            Self::Failed(DieselError::DatabaseError(
                DatabaseErrorKind::NotNullViolation,
                _
            ))
        )
    }

    /// Whether trying again, without any change, can succeed. What is in doubt may then be done twice, unless it is guarded.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::InDoubt(_) | Self::Conflict(_)
        )
    }
}

/// diesel loses MySQL's error numbers (diesel #1612), so the message has to tell: 1213 and 1205 ask for another try,
/// the others mean that the server is away, full, shutting down or, after a failover, not the one that takes writes. What the
/// driver itself reports, and no server, is about a connection that is of no use any more.
const CONFLICTS: [&str; 2] = ["Deadlock found", LOCK_TIMEOUT];
const LOCK_TIMEOUT: &str = "Lock wait timeout exceeded";
const AWAY: [&str; 16] = [
    "Connection refused",
    "Connection reset",
    "Broken pipe",
    "Connection was killed",
    "connection closed",
    "Can't connect",
    "Lost connection",
    "server has gone away",
    "shutdown in progress",
    "Too many connections",
    "Input/output error",
    "Driver error",
    "Query execution was interrupted", // 1317, and 3024: the maximum time exceeded
    "--read-only option",              // 1290
    "--super-read-only option",
    "read-only mode", // 1836
];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                Self::Duplicate(error)
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::ReadOnlyTransaction,
                _,
            )
            | DieselError::BrokenTransactionManager => Self::Unavailable(error.into()),
            DieselError::DatabaseError(_, info) => {
                let message = info.message();
                let says = |texts: &[&str]| {
                    texts.iter().any(|text| {
                        message
                            .to_ascii_lowercase()
                            .contains(&text.to_ascii_lowercase())
                    })
                };
                if says(&CONFLICTS) {
                    Self::Conflict(error)
                } else if says(&AWAY) {
                    Self::Unavailable(error.into())
                } else {
                    Self::Failed(error)
                }
            }
            _ => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> StoreError {
        let (kind, message) = (DatabaseErrorKind::Unknown, message.to_owned());
        DieselError::DatabaseError(kind, Box::new(message)).into()
    }

    #[test]
    fn what_can_be_tried_again_is_told_from_what_can_not() {
        for away in [
            "Input/output error: bytes remaining on stream",
            "Driver error: `Connection to the server is closed.'",
            "Server shutdown in progress",
            "Query execution was interrupted",
            "Query execution was interrupted, maximum statement execution time exceeded",
            "The MySQL server is running with the --super-read-only option so it cannot execute this statement",
        ] {
            assert!(matches!(told(away), StoreError::Unavailable(_)), "{away}");
        }
        let deadlock = "Deadlock found when trying to get lock; try restarting transaction";
        assert!(matches!(told(deadlock), StoreError::Conflict(_)));
        let mistake = "Unknown column 'x' in 'field list'";
        assert!(matches!(told(mistake), StoreError::Failed(_)));
    }
}

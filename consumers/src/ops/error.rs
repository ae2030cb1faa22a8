//! How a verb fails, and the exit codes.

use std::process::ExitCode;

/// The exit code of what is refused: there is no such thing, the operator did not agree, or something is wrong with the shop.
pub const EXIT_REFUSED: u8 = 1;
/// The exit code after a bad argument or setting.
pub const EXIT_USAGE: u8 = 2;
/// The exit code when a server is away, or of a mistake of ours.
pub const EXIT_FAILED: u8 = 3;

/// Why a verb did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// It is not to be done: one line that says what and why.
    #[error("{0}")]
    Refused(String),
    /// It could not be done; trying again later can succeed.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl OpsError {
    /// A refusal.
    pub fn refused(line: impl Into<String>) -> Self {
        Self::Refused(line.into())
    }

    /// The code that the program ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => EXIT_REFUSED,
            Self::Failed(_) => EXIT_FAILED,
        })
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for OpsError {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}

// Not for every error: a refusal is one too, and must not become a failure on its way.
failures!(
    anyhow::Error,
    std::io::Error,
    shop_core::bus::BusError,
    shop_core::commands::CommandError,
    shop_core::db::StoreError,
    shop_core::db::PoolBuildError,
    shop_core::views::ViewError
);

//! Why a record failed.

use std::fmt;

/// Why a record failed: the error, and what caused it, and what caused that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    chain: Vec<String>,
}

impl Cause {
    /// The cause that an error stands for.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        Self {
            chain: chain.map(ToString::to_string).collect(),
        }
    }

    /// The error itself, without what caused it.
    pub fn outermost(&self) -> &str {
        self.chain.first().map_or("unknown", String::as_str)
    }

    /// The error, then what caused it, one a line.
    pub fn lines(&self) -> String {
        self.chain.join("\n")
    }
}

impl From<&str> for Cause {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self { chain: vec![words] }
    }
}

impl From<&anyhow::Error> for Cause {
    fn from(error: &anyhow::Error) -> Self {
        Self {
            chain: error.chain().map(ToString::to_string).collect(),
        }
    }
}

/// All of it on one line.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

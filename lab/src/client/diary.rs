//! Everything that clients sent and got, a JSON line each, for whoever looks into a broken promise.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

/// An open diary.
#[derive(Debug)]
pub struct Diary {
    file: BufWriter<File>,
    since: Instant,
    requests: u64,
}

impl Diary {
    /// Begins an empty one.
    ///
    /// # Errors
    /// If the file can not be written.
    pub fn begin(file: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(File::create(file)?),
            since: Instant::now(),
            requests: 0,
        })
    }

    /// The number of the next request.
    pub fn number(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Notes a line; the moment is added to it. A full disk is no reason to stop the clients.
    pub fn note(&mut self, mut line: Value) {
        line["ms"] = u64::try_from(self.since.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .into();
        let _ = writeln!(self.file, "{line}");
    }
}

//! `ops dlq show`.

use std::fmt::Write as _;

use shop_core::db::parked::Stored;
use shop_core::db::parked::operator::records;

use super::select::{Selection, count, moment, place, status, word};
use crate::ops::{Desk, OpsError};

/// Records of a key that are shown, at most.
const MOST_RECORDS: usize = 100;
/// Bytes of a value that are shown unless all of it is asked for.
const SHOWN_BYTES: usize = 2_000;

/// The arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    selection: Selection,
    /// Shows values whole, however long they are
    #[arg(long)]
    full: bool,
}

impl Show {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        let record = self.selection.record();
        for key in self.selection.find(desk).await? {
            let found = desk
                .db
                .transaction("ops_dlq", async |tx| records(tx, &key, MOST_RECORDS).await);
            let found = found.await?;
            println!(
                "{}, key {}: {}",
                key.consumer,
                word(key.key.as_deref()),
                count(key.records)
            );
            for stored in &found {
                if record.is_none_or(|record| record == stored.source) {
                    self.print(stored);
                }
            }
            if key.records > i64::try_from(found.len()).unwrap_or(i64::MAX) {
                println!("  … and more behind them");
            }
        }
        Ok(())
    }

    fn print(&self, stored: &Stored) {
        println!(
            "  {}  {}",
            place(stored.source),
            status(stored.state, stored.tries, stored.next_try_at)
        );
        if let (Some(first), Some(last)) = (stored.first_failed_at, stored.last_failed_at) {
            println!("    failed first {}, last {}", moment(first), moment(last));
        } else {
            println!("    parked {}", moment(stored.parked_at));
        }
        for (depth, cause) in stored
            .why
            .iter()
            .flat_map(|why| why.causes.lines())
            .enumerate()
        {
            let word = if depth == 0 { "cause" } else { "caused by" };
            println!("    {word}: {cause}");
        }
        for (name, value) in &stored.raw.headers {
            let value = value
                .as_deref()
                .map_or_else(|| "(none)".to_owned(), readable);
            println!("    header {name}: {value}");
        }
        match &stored.raw.value {
            None => println!("    value: (none)"),
            Some(value) => {
                let shown = if self.full {
                    value.len()
                } else {
                    value.len().min(SHOWN_BYTES)
                };
                let more = if shown < value.len() { " …" } else { "" };
                println!(
                    "    value, {} bytes: {}{more}",
                    value.len(),
                    readable(&value[..shown])
                );
            }
        }
    }
}

/// Bytes as a text on one line; what is none of a text is escaped.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}"); // a text takes it
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_reaches_the_terminal_as_a_command() {
        assert_eq!(readable(b"{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(readable("é\u{1b}[2J\n".as_bytes()), "é\\u{1b}[2J\\n");
        assert_eq!(readable(b"a\xffb\x00"), "a\\xffb\\u{0}");
    }
}

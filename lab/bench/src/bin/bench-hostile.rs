//! Measures what it costs to refuse hostile requests, beside `{ __typename }`.
//!
//! `make bench-hostile` builds what is measured. Exits 0 if every refusal takes less than twice as long, 1 if not or if it could not be
//! measured.

use std::process::ExitCode;

use shop_bench::hostile::bench;

#[tokio::main]
async fn main() -> ExitCode {
    match bench().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Measures what live subscribers cost, beside a plain broadcast of the same bytes and Node's `graphql-ws`.
//!
//! `make bench-live` builds what is measured and starts the servers. `SUBSCRIBERS=n` and `ROUNDS=n` make it smaller. Exits 0 if every
//! goal was reached, 1 if not or if it could not be run, 64 for a bad setting.

use std::process::ExitCode;

use shop_bench::live::{Options, bench};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("bench-live: {error:#}");
            return ExitCode::from(64);
        }
    };
    match bench(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-live: {error:#}");
            ExitCode::FAILURE
        }
    }
}

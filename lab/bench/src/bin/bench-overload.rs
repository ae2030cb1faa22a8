//! Measures what becomes of three times as many requests as the API can serve.
//!
//! `make bench-overload` builds what is measured and starts the servers. `SECONDS=n` is how long a storm lasts. Exits 0 if every goal
//! was reached, 1 if not or if it could not be run, 64 for a bad setting.

use std::process::ExitCode;

use shop_bench::overload::{Options, bench};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("bench-overload: {error:#}");
            return ExitCode::from(64);
        }
    };
    match bench(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-overload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

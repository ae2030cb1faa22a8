//! Drives orders through the shop's programs with real clients, then checks what became of them.
//!
//! `make demo` starts the servers first. Settings are variables: `ORDERS=n`, and one of `KILL=1`, `PAUSE=1`, `RACE=n` (with
//! `BUYERS` and `UNITS`), `FRESH=n`, `REBUILD=1`; `PLANT=1` plants faults that the check must find. Exits 0 if every promise was kept, 1 if not or if
//! it could not be run, 64 for a bad setting.

use std::process::ExitCode;

use shop_lab::demo::{Options, demo};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("demo: {error:#}");
            return ExitCode::from(64);
        }
    };
    match demo(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Keeps thousands of subscriptions open while the API's copies are killed, rolled and held up, and while tokens run out, and counts what was
//! not told, or told twice, or told too late.
//!
//! `lab/engines/with-engines` brings the servers. Settings are variables: `SUBSCRIBERS=n`, `SECONDS=n`, and one of `KILL=1` (if none is
//! set), `ROLL=1`, `SLOW=1`, `TOKENS=1`. Exits 0 if every promise was kept and the control showed what it must, 1 if not or if it could not be
//! run, 64 for a bad setting.

use std::process::ExitCode;

use shop_lab::live::{Options, live};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("live: {error:#}");
            return ExitCode::from(64);
        }
    };
    match live(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("live: {error:#}");
            ExitCode::FAILURE
        }
    }
}

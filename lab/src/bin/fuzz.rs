//! Asks the API what nobody asks, and looks that it answers well, stays up and holds no more than before.
//!
//! `make fuzz` builds what is asked and starts the servers. `MINUTES=n`; `SEED=n` repeats a run's cases, and `CASE=n` plays one of them
//! alone. Exits 0 if nothing was found, 1 if something was or if it could not be run, 64 for a bad setting.

use std::process::ExitCode;

use shop_lab::fuzz::{Options, fuzz};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            return ExitCode::from(64);
        }
    };
    match fuzz(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

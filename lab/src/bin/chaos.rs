//! Kills, pauses, cuts and confuses a shop's programs and servers, and checks after each fault that no promise was broken.
//!
//! `make chaos` builds the programs with their named steps and starts servers that may be killed. `SEED=n` repeats a run's
//! faults, `LONG=1` takes half an hour, `ONLY=word,word` chooses by name. Exits 0 if every promise was kept and every missing
//! guard was noticed, 1 if not or if it could not be run, 64 for a bad setting.

use std::process::ExitCode;

use shop_lab::chaos::{Options, chaos};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            return ExitCode::from(64);
        }
    };
    match chaos(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

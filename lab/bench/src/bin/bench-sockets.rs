//! One of the processes that `bench-live` directs: `bench-sockets clients` or `bench-sockets broadcast`. Told what to do by lines on
//! its standard input; ends with it.

use std::process::ExitCode;

use shop_bench::{sockets, talk};

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    match sockets::run(&word) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the director is gone too, nobody is left to tell.
            let _ = talk::answer(&talk::Answer::Failed(format!("{error:#}")));
            eprintln!("bench-sockets {word}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

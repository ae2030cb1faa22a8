//! `ops`: the operator's command line. Looks into a running shop and repairs it; every verb is safe to repeat.
//!
//! What a verb answers goes to standard output, logs and refusals to standard error. Every verb refuses what does not exist
//! with a line that names it, asks before it destroys, and with `--dry-run` only prints what it would do.
//! To add a verb: 1. a file here with its arguments and a `run`, 2. a variant of `Verb`, 3. its line in `Verb::run`.

pub mod audit;
mod consent;
mod dlq;
mod error;
mod patience;
mod progress;
pub mod republish;
pub mod views;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use shop_core::db::Db;
use shop_core::runtime::{Program, Settings, telemetry};

pub use consent::Consent;
pub use error::{EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE, OpsError};
use patience::outlast;
pub use progress::Progress;

/// Looks into a running shop and repairs it. Settings come from the environment; see docs/settings.md.
///
/// Exit codes: 0 done, 1 refused (no such thing, not confirmed, or something was found to be wrong), 2 bad arguments or
/// settings, 3 a server is away.
#[derive(Debug, Parser)]
#[command(name = "ops", version)]
struct Arguments {
    #[command(flatten)]
    consent: Consent,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Records that could not be handled: look at them, try them again, drop them
    #[command(subcommand)]
    Dlq(dlq::Verb),
    Audit(audit::Audit),
    Republish(republish::Republish),
    /// The generations of the views: which is served, building the next one, removing old ones
    #[command(subcommand)]
    Views(views::Verb),
}

/// What every verb gets.
pub struct Desk {
    /// The settings, checked.
    pub settings: Settings,
    /// The write side. Connects when it is first used.
    pub db: Db,
    /// What the operator agreed to.
    pub consent: Consent,
}

impl Verb {
    async fn run(self, desk: &Desk) -> Result<(), OpsError> {
        match self {
            Self::Dlq(verb) => verb.run(desk).await,
            Self::Audit(verb) => verb.run(desk).await,
            Self::Republish(verb) => verb.run(desk).await,
            Self::Views(verb) => verb.run(desk).await,
        }
    }
}

/// Runs the program from its arguments to its exit code.
pub fn main() -> ExitCode {
    let Arguments { consent, verb } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let _ = error.print(); // nobody is left to tell
            let code = if asked { 0 } else { EXIT_USAGE };
            return ExitCode::from(code);
        }
    };
    let settings = match Settings::from_env_for(Program::Ops) {
        Ok(settings) => settings,
        Err(errors) => {
            for line in errors.lines() {
                eprintln!("ops: {line}");
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    telemetry::install(Program::Ops, settings.environment, &settings.log);
    match run(settings, consent, verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ops: {error}");
            error.exit_code()
        }
    }
}

#[tokio::main]
async fn run(settings: Settings, consent: Consent, verb: Verb) -> Result<(), OpsError> {
    let db = Db::new(&settings.mysql, settings.kafka.encoding)?;
    let desk = Desk {
        settings,
        db,
        consent,
    };
    verb.run(&desk).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn consent_may_stand_anywhere() {
        for line in [
            "ops --yes --dry-run dlq list",
            "ops dlq list --yes --dry-run",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).expect("it is well formed");
            assert!(arguments.consent.yes && arguments.consent.dry_run, "{line}");
        }
    }
}

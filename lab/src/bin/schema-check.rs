//! Compares `schema.graphql` with an earlier version: exits 0 if no client breaks, 1 if one does, 2 if it can not tell.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use shop_lab::schema::report::{Format, Report};
use shop_lab::schema::{compare, source};

/// Lists each change of the GraphQL contract as BREAKING, DANGEROUS or SAFE.
///
/// Exit code 1 if any change is breaking, 0 if none is, 2 if the schemas can not be read or compared.
#[derive(Parser)]
#[command(name = "schema-check")]
struct Arguments {
    /// What clients know: a file, or a git ref (a branch, tag or commit) whose `schema.graphql` is read.
    #[arg(long)]
    base: String,
    /// The new version.
    #[arg(long, default_value = "schema.graphql")]
    head: String,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match check(&arguments) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("schema-check: {error:#}");
            return ExitCode::from(2);
        }
    };
    // A reader that went away (`| head`) is no reason to fail.
    let _ = std::io::stdout().write_all(report.render(arguments.format).as_bytes());
    ExitCode::from(report.exit_code())
}

fn check(arguments: &Arguments) -> anyhow::Result<Report> {
    let base = source::read_base(&arguments.base)?;
    let head = source::read_file(&arguments.head)?;
    let findings = compare(&base, &head)?;
    Ok(Report::new(&arguments.base, &arguments.head, findings))
}

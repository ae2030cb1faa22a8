//! The program `api`: reads its arguments and hands over.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use shop_api::{grants, graphql, migrate, seed, serve, token};
use shop_core::runtime::{self, ConfigErrors, EXIT_USAGE, Program, Settings, healthcheck};

/// The shop's GraphQL server. Settings come from the environment; see docs/settings.md.
#[derive(Parser)]
#[command(name = "api", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Serves GraphQL over HTTP and WebSocket until it is asked to stop
    Serve,
    /// Brings tables, views and topics up to date, and waits for the servers a while; safe to repeat
    Migrate(migrate::Arguments),
    /// Prints the SQL that makes a MySQL user for every program, with the rights it needs and no other, in the database of `MYSQL_DSN`
    Grants(grants::Users),
    /// Fills an empty shop with a few products and two users, and prints a first mutation to paste
    Seed,
    /// Prints a token to try the shop with, signed with the development's secret; not in production
    Token(token::Arguments),
    /// Prints schema.graphql
    Schema,
    /// Asks the server at `HEALTH_ADDR` whether it is alive
    Healthcheck,
}

fn main() -> ExitCode {
    let task = match Arguments::try_parse() {
        Ok(arguments) => arguments.task,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let _ = error.print();
            return if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_USAGE)
            };
        }
    };
    match task {
        Task::Serve => runtime::main(Program::Api, serve::run),
        Task::Migrate(arguments) => {
            runtime::main(Program::Api, |runtime| migrate::run(runtime, arguments))
        }
        Task::Grants(users) => match Settings::from_env_for(Program::Api) {
            Ok(settings) => grants::print(&users, &settings),
            Err(errors) => refuse(&errors),
        },
        Task::Seed => runtime::main(Program::Api, seed::run),
        Task::Token(arguments) => match Settings::from_env_for(Program::Api) {
            Ok(settings) => token::print(&settings, &arguments),
            Err(errors) => refuse(&errors),
        },
        Task::Schema => {
            print!("{}", graphql::sdl());
            ExitCode::SUCCESS
        }
        Task::Healthcheck => match Settings::from_env_for(Program::Api) {
            Ok(settings) => healthcheck(settings.health_addr),
            Err(errors) => refuse(&errors),
        },
    }
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    for line in errors.lines() {
        eprintln!("api: {line}");
    }
    ExitCode::from(ConfigErrors::EXIT_CODE)
}

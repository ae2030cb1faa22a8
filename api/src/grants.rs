//! `api grants`: the programs' MySQL users and their rights, as SQL to be read and run by an operator.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use shop_core::db::database_of;
use shop_core::db::grants::{Accounts, PREFIX};
use shop_core::runtime::{EXIT_USAGE, Settings};

/// Which users are meant.
#[derive(Debug, Args)]
pub struct Users {
    /// What the names of the programs' users begin with: `shop_api`, `shop_outbox_relay` and so on
    #[arg(long = "users", value_name = "PREFIX", default_value = PREFIX)]
    prefix: String,
}

impl Users {
    /// These users, with their passwords if a file has them.
    ///
    /// # Errors
    /// If the names do not fit, or the file can not be read.
    pub fn accounts(&self, passwords: Option<&PathBuf>) -> anyhow::Result<Accounts> {
        let accounts = Accounts::new(&self.prefix).context("--users")?;
        let Some(file) = passwords else {
            return Ok(accounts);
        };
        let lines = std::fs::read_to_string(file);
        let lines = lines.with_context(|| format!("failed to read {}", file.display()))?;
        let accounts = accounts.with_passwords(&lines);
        accounts.with_context(|| format!("{} is no file of passwords", file.display()))
    }
}

/// Prints the SQL. There is no password in it.
pub fn print(users: &Users, settings: &Settings) -> ExitCode {
    let script = || {
        let database = database_of(&settings.mysql.dsn)?;
        anyhow::Ok(users.accounts(None)?.script(&database))
    };
    match script() {
        Ok(script) => {
            print!("{script}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("api: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

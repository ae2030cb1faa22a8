//! `api token`: a token to try the shop with.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use shop_core::domain::UserId;
use shop_core::runtime::Settings;

use crate::identity::Role;
use crate::identity::demo::{Signer, user_of};

/// What the token says.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// What it allows
    #[arg(long, default_value = "customer", value_parser = role)]
    role: Role,
    /// Whom it names, as `user_…`; without it a user that is not in the shop
    #[arg(long)]
    user: Option<UserId>,
    /// How long it is good for, as in 5s or 12h
    #[arg(long = "for", default_value = "12h", value_parser = humantime::parse_duration)]
    good_for: Duration,
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == text);
    found.ok_or_else(|| format!("expected one of {}", Role::ALL.map(Role::word).join(", ")))
}

/// Prints it, or why there is none.
pub fn print(settings: &Settings, arguments: &Arguments) -> ExitCode {
    let signer = Signer::new(settings.environment, &settings.identity);
    let user = arguments.user.unwrap_or_else(|| user_of(arguments.role));
    match signer.and_then(|signer| signer.sign(user, arguments.role, arguments.good_for)) {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Runs a command beside a shop of its own: database, topics and programs, which are gone when the command ends.
//!
//! `with-shop COMMAND...` finds the servers by the usual settings; `lab/engines/with-engines` starts them. The command finds the
//! API by `SHOP_ADDRESS`, an administrator's token in `SHOP_TOKEN`, one of staff in `SHOP_STAFF_TOKEN`, and the settings by which it
//! may sign others, `JWT_SECRET` and so on. Exits with the command's code, 1 if it could not be run, 64 without a command.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use shop_lab::client::{Token, token};
use shop_lab::programs::{Plan, Programs, target};
use shop_lab::stage::{Progress, in_a_shop};
use tokio::process::Command;

#[tokio::main]
async fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().skip(1).collect();
    if command.is_empty() {
        eprintln!("usage: with-shop COMMAND...");
        return ExitCode::from(64);
    }
    match with_shop(&command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn with_shop(command: &[String]) -> anyhow::Result<u8> {
    let mut plan = Plan::new("5m", target()?.join("with-shop-logs"));
    // The command may ask for what it has just written, on a machine that is busy.
    plan.settings
        .push(("READ_YOUR_WRITE_TIMEOUT", "8s".to_owned()));
    let progress = Progress::start();
    let ended = in_a_shop("with", &plan, &progress, async |_, programs| {
        progress.finish(); // the screen is the command's
        beside(programs, command).await
    });
    ended.await
}

async fn beside(programs: &Programs, command: &[String]) -> anyhow::Result<u8> {
    let mut child = Command::new(&command[0]);
    child
        .args(&command[1..])
        .env("SHOP_ADDRESS", programs.api.to_string())
        .env("SHOP_TOKEN", Token::admin()?.as_str())
        .env("SHOP_STAFF_TOKEN", Token::staff()?.as_str())
        .envs(token::SETTINGS)
        .kill_on_drop(true);
    let ended = child.status().await;
    let ended = ended.with_context(|| format!("failed to run {}", command[0]))?;
    let deaths = programs.deaths().join("; ");
    ensure!(deaths.is_empty(), "a program died by itself: {deaths}");
    // A command that was killed has no code.
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1))
}

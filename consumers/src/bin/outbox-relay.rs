//! The program `outbox-relay`.

use std::process::ExitCode;

use shop_core::runtime::{self, Program};

fn main() -> ExitCode {
    runtime::main(Program::OutboxRelay, shop_consumers::outbox_relay::run)
}

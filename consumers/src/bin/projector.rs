//! The program `projector`.

use std::process::ExitCode;

use shop_core::runtime::{self, Program};

fn main() -> ExitCode {
    runtime::main(Program::Projector, shop_consumers::projector::run)
}

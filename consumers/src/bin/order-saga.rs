//! The program `order-saga`.

use std::process::ExitCode;

use shop_core::runtime::{self, Program};

fn main() -> ExitCode {
    runtime::main(Program::OrderSaga, shop_consumers::order_saga::run)
}

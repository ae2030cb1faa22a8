//! The program `stock-reservation`.

use std::process::ExitCode;

use shop_core::runtime::{self, Program};

fn main() -> ExitCode {
    runtime::main(
        Program::StockReservation,
        shop_consumers::stock_reservation::run,
    )
}

//! The program `ops`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop_consumers::ops::main()
}

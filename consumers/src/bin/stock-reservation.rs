//! The program `stock-reservation`.

fn main() -> std::process::ExitCode {
    shop_core::runtime::main(shop_core::runtime::Program::StockReservation, shop_consumers::stock_reservation::run)
}

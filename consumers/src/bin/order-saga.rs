//! The program `order-saga`.

fn main() -> std::process::ExitCode {
    shop_core::runtime::main(shop_core::runtime::Program::OrderSaga, shop_consumers::order_saga::run)
}

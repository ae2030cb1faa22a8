//! The program `outbox-relay`.

fn main() -> std::process::ExitCode {
    shop_core::runtime::main(shop_core::runtime::Program::OutboxRelay, shop_consumers::outbox_relay::run)
}

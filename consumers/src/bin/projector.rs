//! The program `projector`.

fn main() -> std::process::ExitCode {
    shop_core::runtime::main(shop_core::runtime::Program::Projector, shop_consumers::projector::run)
}

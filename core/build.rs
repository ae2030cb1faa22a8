//! Compiles the event contracts under `proto/` to Rust, with their JSON form. Needs no protoc.

use std::error::Error;

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["user", "product", "order", "stock", "outcome"]
        .map(|name| format!("proto/shop/events/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    prost_build::Config::new()
        .compile_well_known_types() // else prost maps them to its own, which have no JSON form
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(&[".shop.events.v1"])?;
    Ok(())
}

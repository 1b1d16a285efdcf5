//! Makes the Rust types of the broker's interface from `include/iotda_broker.h`.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const HEADER: &str = "include/iotda_broker.h";
    println!("cargo::rerun-if-changed={HEADER}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("broker_types.rs");
    bindgen::Builder::default()
        .header(HEADER)
        .allowlist_item("(iotda|IOTDA)_.*")
        .allowlist_type("mosquitto_plugin_id_t")
        // They are ints in every function that takes or gives them.
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .use_core()
        .generate_comments(false)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}

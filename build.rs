//! Makes the Rust types of the broker's interface from `include/iotda_broker.h`, with the feature `bindings`.
//!
//! They are checked in, in `src/ffi/bindings`, so that a build needs neither bindgen nor libclang: the header includes
//! nothing, so the types are a constant. `./dev bindings` builds with the feature and puts them there; `./dev lint` does so
//! elsewhere, and compares.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "bindings")]
    bindings::make()?;
    Ok(())
}

#[cfg(feature = "bindings")]
mod bindings {
    use std::{env, error::Error, path::PathBuf};

    const HEADER: &str = "include/iotda_broker.h";
    /// Where they are written; without it, to cargo's own folder.
    const FOLDER: &str = "IOTDA_BINDINGS";

    /// The two files differ in bindgen's assertions of sizes and offsets, which depend on the size of a pointer.
    const TARGETS: [(&str, &str); 2] =
        [("64_bit.rs", "x86_64-unknown-linux-gnu"), ("32_bit.rs", "armv7-unknown-linux-gnueabihf")];

    pub(crate) fn make() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed={HEADER}");
        println!("cargo::rerun-if-env-changed={FOLDER}");
        let folder = env::var_os(FOLDER).or_else(|| env::var_os("OUT_DIR"));
        let folder = PathBuf::from(folder.ok_or("cargo names no folder")?);
        for (file, target) in TARGETS {
            bindgen::Builder::default()
                .header(HEADER)
                .clang_arg(format!("--target={target}"))
                .allowlist_item("(iotda|IOTDA)_.*")
                .allowlist_type("mosquitto_plugin_id_t")
                // They are ints in every function that takes or gives them.
                .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
                .use_core()
                .generate_comments(false)
                .formatter(bindgen::Formatter::Prettyplease)
                .generate()?
                .write_to_file(folder.join(file))?;
        }
        Ok(())
    }
}

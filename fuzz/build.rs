//! Compiles the C side of the plugin target's broker, and puts it between the plugin and the C library.

fn main() {
    println!("cargo::rerun-if-changed=host.c");
    println!("cargo::rerun-if-changed=../include/iotda_broker.h");
    println!("cargo::rerun-if-changed=../tests/c_host/fake_broker.h");
    cc::Build::new()
        .file("host.c")
        .include("../include")
        .include("../tests/c_host")
        .std("gnu11")
        .warnings_into_errors(true)
        // AddressSanitizer looks functions up, by this dlsym, before it is ready for any instrumented function.
        .flag("-fno-sanitize=address")
        .compile("host");
    for function in ["dlsym", "clock_gettime"] {
        println!("cargo::rustc-link-arg-bin=plugin=-Wl,--wrap={function}");
    }
}

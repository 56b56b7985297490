//! Gives the shared library its name for the loader: while the major version is 0, each minor version is a new one.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let part = |name: &str| std::env::var(name).unwrap_or_default();
    let (major, minor) = (part("CARGO_PKG_VERSION_MAJOR"), part("CARGO_PKG_VERSION_MINOR"));
    let number = if major == "0" { format!("0.{minor}") } else { major };
    match part("CARGO_CFG_TARGET_OS").as_str() {
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/liboncelog.{number}.dylib"),
        "windows" => {}
        _ => println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liboncelog.so.{number}"),
    }
}

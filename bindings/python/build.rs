//! Tells the compiler of the interpreter that the package is built for.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}

//! `ferrocyte._core`: the compiled half of the Python package. Registration only.
#![deny(unsafe_code)]
#![allow(missing_docs)] // documented in python/ferrocyte/_core.pyi, where its users look

mod array;
mod error;
mod kernels;
mod run;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    kernels::register(module)
}

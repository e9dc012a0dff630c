//! `ferrocyte._core`: the compiled half of the Python package. Registration only.
#![deny(unsafe_code)]
#![allow(missing_docs)] // documented in python/ferrocyte/_core.pyi, where its users look

mod algebra;
mod annotation;
mod array;
mod deflate;
mod drivers;
mod error;
mod fate;
mod gpcca;
mod kernels;
mod matrix;
mod pseudotime;
mod real_time;
mod run;
mod schema;
mod scores;
mod spectral;
mod transport;
mod trends;
mod velocity;
mod walk;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    matrix::register(module)?;
    drivers::register(module)?;
    algebra::register(module)?;
    pseudotime::register(module)?;
    walk::register(module)?;
    scores::register(module)?;
    schema::register(module)?;
    deflate::register(module)?;
    annotation::register(module)?;
    spectral::register(module)?;
    gpcca::register(module)?;
    velocity::register(module)?;
    fate::register(module)?;
    real_time::register(module)?;
    transport::register(module)?;
    trends::register(module)?;
    kernels::register(module)
}

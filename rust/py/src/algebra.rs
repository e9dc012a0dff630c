//! Bindings of `ferrocyte_core::algebra`.

use ferrocyte_core::algebra;
use pyo3::prelude::*;

use crate::array::{csr_parts, CsrArg, CsrParts};
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(weighted_sum, module)?)?;
    module.add_function(wrap_pyfunction!(elementwise_product, module)?)
}

#[pyfunction]
#[pyo3(signature = (matrices, weights, *, threads))]
fn weighted_sum<'py>(
    py: Python<'py>,
    matrices: Vec<CsrArg<'py>>,
    weights: Vec<f64>,
    threads: usize,
) -> PyResult<CsrParts<'py>> {
    let views = matrices.iter().map(|m| m.view(py)).collect::<PyResult<Vec<_>>>()?;
    let out = run_job(py, threads, None, |run| algebra::weighted_sum(&views, &weights, run))?;
    Ok(csr_parts(py, out))
}

#[pyfunction]
#[pyo3(signature = (matrices, *, threads))]
fn elementwise_product<'py>(
    py: Python<'py>,
    matrices: Vec<CsrArg<'py>>,
    threads: usize,
) -> PyResult<CsrParts<'py>> {
    let views = matrices.iter().map(|m| m.view(py)).collect::<PyResult<Vec<_>>>()?;
    let out = run_job(py, threads, None, |run| algebra::elementwise_product(&views, run))?;
    Ok(csr_parts(py, out))
}

//! Bindings of `ferrocyte_core::kernels`.

use ferrocyte_core::kernels::connectivity;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::array::CsrArg;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(connectivity_transitions, module)?)?;
    module.add_function(wrap_pyfunction!(row_normalize, module)?)
}

#[pyfunction]
#[pyo3(signature = (graph, *, density_normalize=true))]
fn connectivity_transitions<'py>(
    py: Python<'py>,
    graph: CsrArg<'py>,
    density_normalize: bool,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let graph = graph.graph(py)?;
    let out = run_job(py, 1, None, |_| connectivity::transition_probabilities(&graph, density_normalize))?;
    Ok(out.into_pyarray(py))
}

#[pyfunction]
fn row_normalize<'py>(py: Python<'py>, matrix: CsrArg<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let matrix = matrix.view(py)?;
    let out = run_job(py, 1, None, |_| connectivity::row_normalize(&matrix))?;
    Ok(out.into_pyarray(py))
}

//! Bindings of `ferrocyte_core::kernels::pseudotime`.

use ferrocyte_core::kernels::pseudotime::{bias_knn, Scheme};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{csr_parts, values, CsrArg, CsrParts};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(bias_knn_hard, module)?)?;
    module.add_function(wrap_pyfunction!(bias_knn_soft, module)?)?;
    module.add_function(wrap_pyfunction!(hard_threshold, module)?)?;
    module.add_function(wrap_pyfunction!(soft_threshold, module)?)
}

fn biased<'py>(
    py: Python<'py>,
    graph: &CsrArg<'py>,
    pseudotime: &PyReadonlyArray1<'py, f64>,
    scheme: Scheme,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<CsrParts<'py>> {
    let (graph, pseudotime) = (graph.graph(py)?, values(pseudotime, "`pseudotime`")?);
    let out = run_job(py, threads, progress, |run| bias_knn(&graph, pseudotime, scheme, run))?;
    Ok(csr_parts(py, out))
}

#[pyfunction]
#[pyo3(signature = (graph, pseudotime, *, frac_to_keep, threads=1, progress=None))]
fn bias_knn_hard<'py>(
    py: Python<'py>,
    graph: CsrArg<'py>,
    pseudotime: PyReadonlyArray1<'py, f64>,
    frac_to_keep: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<CsrParts<'py>> {
    let scheme = Scheme::hard(frac_to_keep).map_err(|e| to_py(py, e))?;
    biased(py, &graph, &pseudotime, scheme, threads, progress)
}

#[pyfunction]
#[pyo3(signature = (graph, pseudotime, *, b, nu, threads=1, progress=None))]
fn bias_knn_soft<'py>(
    py: Python<'py>,
    graph: CsrArg<'py>,
    pseudotime: PyReadonlyArray1<'py, f64>,
    b: f64,
    nu: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<CsrParts<'py>> {
    let scheme = Scheme::soft(b, nu).map_err(|e| to_py(py, e))?;
    biased(py, &graph, &pseudotime, scheme, threads, progress)
}

// The two below look at one cell and are called once per cell from Python: no worker thread, no waiting.

fn one_cell<'py>(
    py: Python<'py>,
    scheme: ferrocyte_core::Result<Scheme>,
    t: f64,
    t_neighbors: &PyReadonlyArray1<'py, f64>,
    weights: &PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (times, weights) = (values(t_neighbors, "`t_neighbors`")?, values(weights, "`weights`")?);
    let out = scheme.and_then(|scheme| scheme.one_cell(t, times, weights));
    Ok(out.map_err(|e| to_py(py, e))?.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (t, t_neighbors, weights, *, frac_to_keep))]
fn hard_threshold<'py>(
    py: Python<'py>,
    t: f64,
    t_neighbors: PyReadonlyArray1<'py, f64>,
    weights: PyReadonlyArray1<'py, f64>,
    frac_to_keep: f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    one_cell(py, Scheme::hard(frac_to_keep), t, &t_neighbors, &weights)
}

#[pyfunction]
#[pyo3(signature = (t, t_neighbors, weights, *, b, nu))]
fn soft_threshold<'py>(
    py: Python<'py>,
    t: f64,
    t_neighbors: PyReadonlyArray1<'py, f64>,
    weights: PyReadonlyArray1<'py, f64>,
    b: f64,
    nu: f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    one_cell(py, Scheme::soft(b, nu), t, &t_neighbors, &weights)
}

//! Bindings of `ferrocyte_core::features` and `ferrocyte_core::stats`.

use ferrocyte_core::{order, stats};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{values, CsrArg, FeaturesArg};
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(nan_columns, module)?)?;
    module.add_function(wrap_pyfunction!(first_not_finite, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(count_components, module)?)?;
    module.add_function(wrap_pyfunction!(count_positive, module)?)?;
    module.add_function(wrap_pyfunction!(column_correlations, module)?)
}

#[pyfunction]
#[pyo3(signature = (matrix, *, threads))]
fn nan_columns<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let matrix = matrix.view(py, None)?;
    Ok(run_job(py, threads, None, |run| matrix.nan_columns(run))?.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (matrix, mask, *, threads))]
fn first_not_finite<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    mask: Option<PyReadonlyArray1<'py, bool>>,
    threads: usize,
) -> PyResult<Option<(usize, usize)>> {
    let mask = mask.as_ref().map(|mask| values(mask, "`mask`")).transpose()?;
    let matrix = matrix.view(py, mask)?;
    run_job(py, threads, None, |run| matrix.first_not_finite(run))
}

#[pyfunction]
#[pyo3(signature = (matrix, *, threads))]
fn fingerprint(py: Python<'_>, matrix: FeaturesArg<'_>, threads: usize) -> PyResult<u64> {
    let matrix = matrix.view(py, None)?;
    run_job(py, threads, None, |run| matrix.fingerprint(run))
}

#[pyfunction]
fn count_components(py: Python<'_>, graph: CsrArg<'_>) -> PyResult<usize> {
    let graph = graph.graph(py)?;
    run_job(py, 1, None, |_| Ok(order::count_components(&graph)))
}

#[pyfunction]
#[pyo3(signature = (matrix, *, threads))]
fn count_positive<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let matrix = matrix.view(py, None)?;
    Ok(run_job(py, threads, None, |run| stats::count_positive(&matrix, run))?.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (matrix, y, *, threads, progress=None))]
fn column_correlations<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    y: PyReadonlyArray1<'py, f64>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (matrix, y) = (matrix.view(py, None)?, values(&y, "`y`")?);
    let out = run_job(py, threads, progress, |run| stats::column_correlations(&matrix, y, 1, run))?;
    Ok(out.into_pyarray(py))
}

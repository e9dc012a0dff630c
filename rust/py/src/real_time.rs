//! Bindings of `ferrocyte_core::kernels::real_time`.

use ferrocyte_core::kernels::real_time::{self, Block};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{csr_parts, values, CsrArg, CsrParts, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(coupling_row_maxima, module)?)?;
    module.add_function(wrap_pyfunction!(coupling_keep_at_least, module)?)?;
    module.add_function(wrap_pyfunction!(coupling_entry_counts, module)?)?;
    module.add_function(wrap_pyfunction!(coupling_next_above, module)?)?;
    module.add_function(wrap_pyfunction!(time_course_matrix, module)?)
}

#[pyfunction]
#[pyo3(signature = (rows, *, threads))]
fn coupling_row_maxima<'py>(
    py: Python<'py>,
    rows: FeaturesArg<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let rows = rows.view(py, None)?;
    Ok(run_job(py, threads, None, |run| real_time::row_maxima(&rows, run))?.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (rows, threshold, *, threads))]
fn coupling_keep_at_least<'py>(
    py: Python<'py>,
    rows: FeaturesArg<'py>,
    threshold: f64,
    threads: usize,
) -> PyResult<CsrParts<'py>> {
    let rows = rows.view(py, None)?;
    let out = run_job(py, threads, None, |run| real_time::keep_at_least(&rows, threshold, run))?;
    Ok(csr_parts(py, out))
}

#[pyfunction]
#[pyo3(signature = (rows, prefix, level, *, threads))]
fn coupling_entry_counts<'py>(
    py: Python<'py>,
    rows: FeaturesArg<'py>,
    prefix: u64,
    level: u32,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let rows = rows.view(py, None)?;
    let out = run_job(py, threads, None, |run| real_time::entry_counts(&rows, prefix, level, run))?;
    Ok(out.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (rows, value, *, threads))]
fn coupling_next_above(py: Python<'_>, rows: FeaturesArg<'_>, value: f64, threads: usize) -> PyResult<f64> {
    let rows = rows.view(py, None)?;
    run_job(py, threads, None, |run| real_time::next_above(&rows, value, run))
}

type Placed<'py> = (CsrArg<'py>, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>, f64, bool);

#[pyfunction]
#[pyo3(signature = (n_cells, blocks, *, threads))]
fn time_course_matrix<'py>(
    py: Python<'py>,
    n_cells: usize,
    blocks: Vec<Placed<'py>>,
    threads: usize,
) -> PyResult<CsrParts<'py>> {
    let mut placed = Vec::with_capacity(blocks.len());
    for (coupling, rows, cols, weight, normalize) in &blocks {
        placed.push(Block {
            coupling: coupling.view(py)?,
            rows: values(rows, "the rows of a block")?,
            cols: values(cols, "the columns of a block")?,
            weight: *weight,
            normalize: *normalize,
        });
    }
    if i32::try_from(n_cells).is_err() {
        let error = ferrocyte_core::Error::parameter("n_cells", "below 2147483648", n_cells);
        return Err(to_py(py, error));
    }
    let out = run_job(py, threads, None, |run| real_time::transition_matrix(n_cells, &placed, run))?;
    Ok(csr_parts(py, out))
}

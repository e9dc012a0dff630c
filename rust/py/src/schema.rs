//! Bindings of `ferrocyte_core::schema`.

use ferrocyte_core::features::Element;
use ferrocyte_core::schema::{self, Schema, Target};
use numpy::{Element as NumpyElement, IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{values, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(map_to_schema, module)?)?;
    module.add_function(wrap_pyfunction!(rows_of_columns, module)?)?;
    module.add_function(wrap_pyfunction!(value_report, module)?)
}

/// What the integers of Python mean: -1 is dropped, anything else below 0 is no gene.
fn target(code: i32) -> Target {
    match u32::try_from(code) {
        Ok(column) => Target::Column(column),
        Err(_) if code == -1 => Target::Dropped,
        Err(_) => Target::Excluded,
    }
}

type MappedOut<'py> = (
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f32>>,
);

#[pyfunction]
#[pyo3(signature = (counts, targets, width, *, threads))]
fn map_to_schema<'py>(
    py: Python<'py>,
    counts: FeaturesArg<'py>,
    targets: PyReadonlyArray1<'py, i32>,
    width: usize,
    threads: usize,
) -> PyResult<MappedOut<'py>> {
    let counts = counts.view(py, None)?;
    let targets = values(&targets, "`targets`")?.iter().map(|&code| target(code)).collect();
    let schema = Schema::new(targets, width).map_err(|e| to_py(py, e))?;
    let out = run_job(py, threads, None, |run| schema.map_rows(&counts, run))?;
    Ok((
        out.data.into_pyarray(py),
        out.indices.into_pyarray(py),
        out.indptr.into_pyarray(py),
        out.totals.into_pyarray(py),
    ))
}

/// Values of either width.
#[derive(FromPyObject)]
enum Values<'py> {
    #[pyo3(transparent)]
    F32(PyReadonlyArray1<'py, f32>),
    #[pyo3(transparent)]
    F64(PyReadonlyArray1<'py, f64>),
}

type RowsOut<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<i64>>);

fn cut<'py, E: NumpyElement + Element>(
    py: Python<'py>,
    data: &[E],
    indices: &[i32],
    indptr: &[i64],
    sorted: bool,
    (start, stop): (usize, usize),
) -> PyResult<RowsOut<'py>> {
    let job = |_: &_| schema::rows_of_columns(indptr, indices, data, sorted, start..stop);
    let (indptr, indices, data) = run_job(py, 1, None, job)?;
    Ok((data.into_pyarray(py).into_any(), indices.into_pyarray(py), indptr.into_pyarray(py)))
}

#[pyfunction]
#[pyo3(signature = (data, indices, indptr, rows, *, sorted))]
fn rows_of_columns<'py>(
    py: Python<'py>,
    data: Values<'py>,
    indices: PyReadonlyArray1<'py, i32>,
    indptr: PyReadonlyArray1<'py, i64>,
    rows: (usize, usize),
    sorted: bool,
) -> PyResult<RowsOut<'py>> {
    let (indices, indptr) = (values(&indices, "`indices`")?, values(&indptr, "`indptr`")?);
    match &data {
        Values::F32(data) => cut(py, values(data, "`data`")?, indices, indptr, sorted, rows),
        Values::F64(data) => cut(py, values(data, "`data`")?, indices, indptr, sorted, rows),
    }
}

#[pyfunction]
#[pyo3(signature = (data, *, threads))]
fn value_report(
    py: Python<'_>,
    data: Values<'_>,
    threads: usize,
) -> PyResult<(u64, u64, Option<usize>, Option<usize>)> {
    let report = match &data {
        Values::F32(data) => {
            let data = values(data, "`data`")?;
            run_job(py, threads, None, |run| schema::value_report(data, run))?
        }
        Values::F64(data) => {
            let data = values(data, "`data`")?;
            run_job(py, threads, None, |run| schema::value_report(data, run))?
        }
    };
    Ok((report.nonzero, report.fractional, report.first_negative, report.first_not_finite))
}

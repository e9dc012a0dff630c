//! Binding of `ferrocyte_core::deflate`.

use ferrocyte_core::deflate;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::array::values;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(shuffle_deflate, module)?)
}

#[pyfunction]
fn shuffle_deflate<'py>(
    py: Python<'py>,
    numbers: PyReadonlyArray1<'py, u32>,
) -> PyResult<Bound<'py, PyBytes>> {
    let numbers = values(&numbers, "`numbers`")?;
    let stream = run_job(py, 1, None, |_| Ok(deflate::shuffle_deflate(numbers)))?;
    Ok(PyBytes::new(py, &stream))
}

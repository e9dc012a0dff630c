//! Bindings of `ferrocyte_core::spectral`.

use ferrocyte_core::spectral::krylov_schur::{schur, Params};
use ferrocyte_core::spectral::ordered_schur::Which;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{matrix, values, CsrArg};
use crate::error::InvalidDataError;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(schur_decomposition, module)?)
}

fn which_from(name: &str) -> PyResult<Which> {
    match name {
        "LR" => Ok(Which::LargestReal),
        "LM" => Ok(Which::LargestMagnitude),
        _ => Err(InvalidDataError::new_err(format!("unknown sorting criterion {name:?}; use 'LR' or 'LM'"))),
    }
}

type Array<'py> = Bound<'py, PyArrayDyn<f64>>;
type Vector<'py> = Bound<'py, PyArray1<f64>>;
type SchurParts<'py> = (Array<'py>, Array<'py>, Array<'py>, Vector<'py>, usize, usize);

#[pyfunction]
#[pyo3(signature = (T, initial, *, n_components, which="LR", tol=1e-10, max_restarts=3000, seed=0, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn schur_decomposition<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    initial: Option<PyReadonlyArray1<'py, f64>>,
    n_components: usize,
    which: &str,
    tol: f64,
    max_restarts: usize,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<SchurParts<'py>> {
    let t = T.transition_matrix(py)?;
    let initial = initial.as_ref().map(|d| values(d, "`initial`")).transpose()?;
    let params = Params { n_components, which: which_from(which)?, tol, max_restarts, seed };
    let out = run_job(py, threads, progress, |run| schur(&t, initial, &params, run))?;
    let m = out.eigenvalues.len();
    let eigenvalues = out.eigenvalues.iter().flat_map(|&(re, im)| [re, im]).collect();
    Ok((
        matrix(py, out.vectors, &[t.n_rows(), m])?,
        matrix(py, out.matrix, &[m, m])?,
        matrix(py, eigenvalues, &[m, 2])?,
        out.info.residuals.into_pyarray(py),
        out.info.products,
        out.info.restarts,
    ))
}

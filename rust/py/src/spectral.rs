//! Bindings of `ferrocyte_core::spectral`.

use ferrocyte_core::spectral::eigen::{self, Vectors};
use ferrocyte_core::spectral::krylov_schur::{schur, Params};
use ferrocyte_core::spectral::ordered_schur::Which;
use ferrocyte_core::spectral::stationary;
use ferrocyte_core::Error;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{matrix, values, CsrArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(schur_decomposition, module)?)?;
    module.add_function(wrap_pyfunction!(eigenvectors, module)?)?;
    module.add_function(wrap_pyfunction!(stationary_distribution, module)?)
}

fn which_from(py: Python<'_>, name: &str) -> PyResult<Which> {
    match name {
        "LR" => Ok(Which::LargestReal),
        "LM" => Ok(Which::LargestMagnitude),
        _ => Err(to_py(py, Error::parameter("which", "a sorting criterion, 'LR' or 'LM'", name))),
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
    let params = Params { n_components, which: which_from(py, which)?, tol, max_restarts, seed };
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

type Side<'py> = (Array<'py>, Array<'py>, Vector<'py>);

fn side(py: Python<'_>, n: usize, out: Vectors) -> PyResult<Side<'_>> {
    let m = out.eigenvalues.len();
    let eigenvalues = out.eigenvalues.iter().flat_map(|&(re, im)| [re, im]).collect();
    Ok((
        matrix(py, eigenvalues, &[m, 2])?,
        matrix(py, out.values, &[n, m, 2])?,
        out.residuals.into_pyarray(py),
    ))
}

#[pyfunction]
#[pyo3(signature = (T, *, k, side, which="LR", tol=1e-10, max_restarts=3000, seed=0, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn eigenvectors<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    k: usize,
    side: &str,
    which: &str,
    tol: f64,
    max_restarts: usize,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Side<'py>> {
    let t = T.transition_matrix(py)?;
    let params = Params { n_components: k, which: which_from(py, which)?, tol, max_restarts, seed };
    let solve = match side {
        "left" => eigen::left,
        "right" => eigen::right,
        _ => return Err(to_py(py, Error::parameter("side", "'left' or 'right'", side))),
    };
    let out = run_job(py, threads, progress, |run| solve(&t, &params, run))?;
    self::side(py, t.n_rows(), out)
}

type StationaryParts<'py> = (Vector<'py>, Bound<'py, PyArray1<i64>>, Vector<'py>, usize);

#[pyfunction]
#[pyo3(signature = (T, *, tol=1e-12, max_cycles=1000, threads=1, progress=None))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn stationary_distribution<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    tol: f64,
    max_cycles: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<StationaryParts<'py>> {
    let t = T.transition_matrix(py)?;
    let params = stationary::Params { tol, max_cycles };
    let out = run_job(py, threads, progress, |run| stationary::distribution(&t, &params, run))?;
    let classes: Vec<i64> = out.classes.iter().map(|class| class.map_or(-1, |c| c as i64)).collect();
    Ok((
        out.distribution.into_pyarray(py),
        classes.into_pyarray(py),
        out.residuals.into_pyarray(py),
        out.cycles,
    ))
}

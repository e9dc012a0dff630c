//! Bindings of `ferrocyte_core::gpcca`.

use ferrocyte_core::gpcca::{coarse, improve, macrostates, min_chi, Macrostates, Params};
use numpy::{PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{matrix, matrix_values, values, CsrArg};
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(gpcca_min_chi, module)?)?;
    module.add_function(wrap_pyfunction!(gpcca_macrostates, module)?)?;
    module.add_function(wrap_pyfunction!(gpcca_improve, module)?)?;
    module.add_function(wrap_pyfunction!(coarse_transition_matrix, module)?)
}

type Array<'py> = Bound<'py, PyArrayDyn<f64>>;

#[pyfunction]
#[pyo3(signature = (X, n_states, *, threads=1))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn gpcca_min_chi(
    py: Python<'_>,
    X: PyReadonlyArray2<'_, f64>,
    n_states: usize,
    threads: usize,
) -> PyResult<f64> {
    let (x, width) = (matrix_values(&X, "`X`")?, X.shape()[1]);
    run_job(py, threads, None, |run| min_chi(x, width, n_states, run))
}

#[pyfunction]
#[pyo3(signature = (X, n_states, *, n_starts=8, threads=1, progress=None))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn gpcca_macrostates<'py>(
    py: Python<'py>,
    X: PyReadonlyArray2<'py, f64>,
    n_states: usize,
    n_starts: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<MacrostatesParts<'py>> {
    let (x, [n_cells, width]) = (matrix_values(&X, "`X`")?, [X.shape()[0], X.shape()[1]]);
    let params = Params { n_starts };
    let out = run_job(py, threads, progress, |run| macrostates(x, width, n_states, &params, run))?;
    parts(py, out, n_cells, n_states)
}

#[pyfunction]
#[pyo3(signature = (X, rotation, *, threads=1, progress=None))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn gpcca_improve<'py>(
    py: Python<'py>,
    X: PyReadonlyArray2<'py, f64>,
    rotation: PyReadonlyArray2<'py, f64>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<MacrostatesParts<'py>> {
    let (x, [n_cells, width]) = (matrix_values(&X, "`X`")?, [X.shape()[0], X.shape()[1]]);
    let n_states = rotation.shape()[0];
    let rotation = matrix_values(&rotation, "`rotation`")?;
    let out = run_job(py, threads, progress, |run| improve(x, width, n_states, rotation, run))?;
    parts(py, out, n_cells, n_states)
}

type MacrostatesParts<'py> = (Array<'py>, Array<'py>, f64, f64, usize);

fn parts(
    py: Python<'_>,
    out: Macrostates,
    n_cells: usize,
    n_states: usize,
) -> PyResult<MacrostatesParts<'_>> {
    Ok((
        matrix(py, out.memberships, &[n_cells, n_states])?,
        matrix(py, out.rotation, &[n_states, n_states])?,
        out.crispness,
        out.min_chi,
        out.steps,
    ))
}

#[pyfunction]
#[pyo3(signature = (T, chi, initial, *, threads=1))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn coarse_transition_matrix<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    chi: PyReadonlyArray2<'py, f64>,
    initial: Option<PyReadonlyArray1<'py, f64>>,
    threads: usize,
) -> PyResult<Array<'py>> {
    let (t, m) = (T.transition_matrix(py)?, chi.shape()[1]);
    let chi = matrix_values(&chi, "`chi`")?;
    let initial = initial.as_ref().map(|d| values(d, "`initial`")).transpose()?;
    let out = run_job(py, threads, None, |run| coarse::transition_matrix(&t, chi, m, initial, run))?;
    matrix(py, out, &[m, m])
}

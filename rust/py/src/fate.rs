//! Bindings of `ferrocyte_core::fate` and `ferrocyte_core::graph`.

use ferrocyte_core::fate::{self, Times};
use ferrocyte_core::graph;
use ferrocyte_core::solve::{Info, Kind, Method, Params};
use ferrocyte_core::Error;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::{matrix, values, CsrArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(strong_components, module)?)?;
    module.add_function(wrap_pyfunction!(absorption_probabilities, module)?)?;
    module.add_function(wrap_pyfunction!(absorption_times, module)?)
}

const METHODS: [(&str, Method); 3] =
    [("gmres", Method::Gmres), ("bicgstab", Method::Bicgstab), ("direct", Method::Direct)];
const KINDS: [(&str, Kind); 4] = [
    ("jacobi", Kind::Jacobi),
    ("ilu", Kind::Ilu),
    ("multilevel", Kind::Multilevel),
    ("direct", Kind::Direct),
];

/// The choice called `found`.
fn choice<T: Copy>(name: &'static str, all: &[(&str, T)], found: &str) -> ferrocyte_core::Result<T> {
    let expected = || all.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let known = all.iter().find(|(name, _)| *name == found);
    known.map(|k| k.1).ok_or_else(|| Error::parameter(name, format!("one of {}", expected()), found))
}

/// The name of the choice `found`.
fn name<T: Copy + PartialEq>(all: &[(&'static str, T)], found: T) -> Option<&'static str> {
    all.iter().find(|(_, choice)| *choice == found).map(|(name, _)| *name)
}

fn params(
    solver: &str,
    preconditioner: Option<&str>,
    tol: f64,
    max_iterations: Option<usize>,
) -> ferrocyte_core::Result<Params> {
    let method = choice("solver", &METHODS, solver)?;
    let preconditioner = preconditioner.map(|p| choice("preconditioner", &KINDS, p)).transpose()?;
    let max_iterations = max_iterations.unwrap_or(Params::default().max_iterations);
    Ok(Params { method, preconditioner, tol, max_iterations })
}

/// Target sets from their numbers, -1 for none.
fn targets(numbers: &[i64]) -> ferrocyte_core::Result<Vec<Option<usize>>> {
    let one = |&number: &i64| match number {
        -1 => Ok(None),
        _ => usize::try_from(number)
            .map(Some)
            .map_err(|_| Error::parameter("target", "a number from 0, or -1 for none", number)),
    };
    numbers.iter().map(one).collect()
}

fn report<'py>(py: Python<'py>, info: &Info) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("solver", name(&METHODS, info.method))?;
    out.set_item("preconditioner", name(&KINDS, info.preconditioner))?;
    out.set_item("iterations", info.iterations)?;
    out.set_item("residual", info.residual)?;
    out.set_item("error", info.error)?;
    Ok(out)
}

type Parts<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<bool>>);
type Answer<'py> = (Bound<'py, PyArrayDyn<f64>>, Bound<'py, PyDict>);
type Moments<'py> = (Bound<'py, PyArrayDyn<f64>>, Option<Bound<'py, PyArrayDyn<f64>>>, Bound<'py, PyDict>);

#[pyfunction]
#[pyo3(signature = (T))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn strong_components<'py>(py: Python<'py>, T: CsrArg<'py>) -> PyResult<Parts<'py>> {
    let t = T.graph(py)?;
    let found = run_job(py, 1, None, |_| Ok(graph::components(&t)))?;
    let labels: Vec<i64> = found.labels.iter().map(|&label| label as i64).collect();
    Ok((labels.into_pyarray(py), found.closed.into_pyarray(py)))
}

#[pyfunction]
#[pyo3(signature = (T, target, *, solver="gmres", tol=1e-8, preconditioner=None, max_iter=None, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn absorption_probabilities<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    target: PyReadonlyArray1<'py, i64>,
    solver: &str,
    tol: f64,
    preconditioner: Option<&str>,
    max_iter: Option<usize>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Answer<'py>> {
    let t = T.transition_matrix(py)?;
    let params = params(solver, preconditioner, tol, max_iter).map_err(|e| to_py(py, e))?;
    let target = targets(values(&target, "`target`")?).map_err(|e| to_py(py, e))?;
    let job = |run: &_| fate::absorption_probabilities(&t, &target, &params, run);
    let out = run_job(py, threads, progress, job)?;
    Ok((matrix(py, out.x, &[target.len(), out.n_targets])?, report(py, &out.info)?))
}

#[pyfunction]
#[pyo3(signature = (T, target, *, variance=false, solver="gmres", tol=1e-8, preconditioner=None, max_iter=None, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn absorption_times<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    target: PyReadonlyArray1<'py, i64>,
    variance: bool,
    solver: &str,
    tol: f64,
    preconditioner: Option<&str>,
    max_iter: Option<usize>,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Moments<'py>> {
    let t = T.transition_matrix(py)?;
    let params = params(solver, preconditioner, tol, max_iter).map_err(|e| to_py(py, e))?;
    let target = targets(values(&target, "`target`")?).map_err(|e| to_py(py, e))?;
    let job = |run: &_| fate::absorption_times(&t, &target, variance, &params, run);
    let Times { mean, variance, n_targets, info, .. } = run_job(py, threads, progress, job)?;
    let shape = [target.len(), n_targets];
    let variance = variance.map(|v| matrix(py, v, &shape)).transpose()?;
    Ok((matrix(py, mean, &shape)?, variance, report(py, &info)?))
}

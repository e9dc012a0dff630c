//! Binding of `ferrocyte_core::walk`.

use ferrocyte_core::walk::{simulate, Params};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::array::{values, CsrArg};
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(random_walks, module)?)
}

type Walks<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

#[pyfunction]
#[pyo3(signature = (T, starts, stops, *, n_sims, max_steps, successive_hits, seed, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn random_walks<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    starts: PyReadonlyArray1<'py, i64>,
    stops: Option<PyReadonlyArray1<'py, bool>>,
    n_sims: usize,
    max_steps: usize,
    successive_hits: usize,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Walks<'py>> {
    let t = T.transition_matrix(py)?;
    let starts = values(&starts, "`starts`")?;
    let stops = stops.as_ref().map(|stops| values(stops, "`stops`")).transpose()?;
    let params = Params { starts, stops, n_sims, max_steps, successive_hits, seed };
    let walks = run_job(py, threads, progress, |run| simulate(&t, &params, run))?;
    Ok((walks.cells.into_pyarray(py), walks.offsets.into_pyarray(py)))
}

//! Bindings of `ferrocyte_core::scores`.

use ferrocyte_core::scores::{boundary, projection, Points};
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{matrix, matrix_values, values, CsrArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(boundary_correctness, module)?)?;
    module.add_function(wrap_pyfunction!(project, module)?)
}

fn points<'a>(py: Python<'_>, array: &'a PyReadonlyArray2<'_, f64>, what: &str) -> PyResult<Points<'a>> {
    let data = matrix_values(array, what)?;
    Points::new(array.shape()[0], array.shape()[1], data).map_err(|e| to_py(py, e))
}

type CellsAndScores<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
#[pyo3(signature = (T, graph, source, target, rep, *, threads=1))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn boundary_correctness<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    graph: CsrArg<'py>,
    source: PyReadonlyArray1<'py, bool>,
    target: PyReadonlyArray1<'py, bool>,
    rep: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<CellsAndScores<'py>> {
    let (t, graph, rep) = (T.transition_matrix(py)?, graph.graph(py)?, points(py, &rep, "`rep`")?);
    let (source, target) = (values(&source, "`source`")?, values(&target, "`target`")?);
    let (cells, scores) =
        run_job(py, threads, None, |run| boundary::correctness(&t, &graph, source, target, &rep, run))?;
    Ok((cells.into_pyarray(py), scores.into_pyarray(py)))
}

#[pyfunction]
#[pyo3(signature = (T, graph, embedding, *, threads=1))]
#[expect(non_snake_case, reason = "the name of the Python argument")]
fn project<'py>(
    py: Python<'py>,
    T: CsrArg<'py>,
    graph: CsrArg<'py>,
    embedding: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (t, graph) = (T.transition_matrix(py)?, graph.graph(py)?);
    let points = points(py, &embedding, "`embedding`")?;
    let out = run_job(py, threads, None, |run| projection::project(&t, &graph, &points, run))?;
    matrix(py, out, embedding.shape())
}

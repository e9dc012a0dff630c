//! Bindings of `ferrocyte_core::annotation`.

use ferrocyte_core::annotation::embed::Projection;
use ferrocyte_core::annotation::nearest::{self, Metric, Neighbors};
use ferrocyte_core::annotation::ontology::{self, Upward};
use ferrocyte_core::annotation::summary::{self, STATISTICS};
use ferrocyte_core::annotation::Vectors;
use ferrocyte_core::features::Element;
use numpy::{
    Element as NumpyElement, IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1,
    PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::array::{matrix, matrix_values, values, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(embed_counts, module)?)?;
    module.add_function(wrap_pyfunction!(exact_neighbors, module)?)?;
    module.add_function(wrap_pyfunction!(refine_neighbors, module)?)?;
    module.add_function(wrap_pyfunction!(ontology_scores, module)?)?;
    module.add_function(wrap_pyfunction!(summary_statistics, module)?)
}

/// Weights of either width.
#[derive(FromPyObject)]
enum Weights<'py> {
    #[pyo3(transparent)]
    F32(PyReadonlyArray2<'py, f32>),
    #[pyo3(transparent)]
    F64(PyReadonlyArray2<'py, f64>),
}

/// A projection with one set of weights, to be applied.
struct Embed<'a, 'py> {
    counts: &'a FeaturesArg<'py>,
    totals: &'a [f32],
    offset: &'a [f64],
    scale: f64,
    eps: f64,
    threads: usize,
}

impl Embed<'_, '_> {
    fn run<'py, W: NumpyElement + Element>(
        &self,
        py: Python<'py>,
        weights: &PyReadonlyArray2<'_, W>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let counts = self.counts.view(py, None)?;
        let weights = matrix_values(weights, "`weights`")?;
        let p = Projection { weights, offset: self.offset, scale: self.scale, eps: self.eps };
        let out = run_job(py, self.threads, None, |run| p.apply(&counts, self.totals, run))?;
        matrix(py, out, &[self.totals.len(), self.offset.len()])
    }
}

#[pyfunction]
#[pyo3(signature = (counts, totals, weights, offset, *, scale=1e4, eps=1e-6, threads=1))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn embed_counts<'py>(
    py: Python<'py>,
    counts: FeaturesArg<'py>,
    totals: PyReadonlyArray1<'py, f32>,
    weights: Weights<'py>,
    offset: PyReadonlyArray1<'py, f64>,
    scale: f64,
    eps: f64,
    threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (totals, offset) = (values(&totals, "`totals`")?, values(&offset, "`offset`")?);
    let job = Embed { counts: &counts, totals, offset, scale, eps, threads };
    match &weights {
        Weights::F32(weights) => job.run(py, weights),
        Weights::F64(weights) => job.run(py, weights),
    }
}

fn vectors<'a>(py: Python<'_>, array: &'a PyReadonlyArray2<'_, f32>, what: &str) -> PyResult<Vectors<'a>> {
    let data = matrix_values(array, what)?;
    Vectors::new(array.shape()[0], array.shape()[1], data).map_err(|e| to_py(py, e))
}

type NeighborsOut<'py> = (Bound<'py, PyAny>, Bound<'py, PyArrayDyn<f64>>);

fn table(py: Python<'_>, found: Neighbors, n: usize, k: usize) -> PyResult<NeighborsOut<'_>> {
    let rows = found.rows.into_pyarray(py).reshape([n, k])?;
    Ok((rows.into_any(), matrix(py, found.distances, &[n, k])?))
}

#[pyfunction]
#[pyo3(signature = (reference, queries, k, *, metric, threads=1))]
fn exact_neighbors<'py>(
    py: Python<'py>,
    reference: PyReadonlyArray2<'py, f32>,
    queries: PyReadonlyArray2<'py, f32>,
    k: usize,
    metric: &str,
    threads: usize,
) -> PyResult<NeighborsOut<'py>> {
    let metric = Metric::parse(metric).map_err(|e| to_py(py, e))?;
    let (x, q) = (vectors(py, &reference, "`reference`")?, vectors(py, &queries, "`queries`")?);
    let found = run_job(py, threads, None, |run| nearest::exact(&x, &q, k, metric, run))?;
    table(py, found, q.len(), k)
}

#[pyfunction]
#[pyo3(signature = (reference, queries, candidates, k, *, metric, threads=1))]
fn refine_neighbors<'py>(
    py: Python<'py>,
    reference: PyReadonlyArray2<'py, f32>,
    queries: PyReadonlyArray2<'py, f32>,
    candidates: PyReadonlyArray2<'py, i64>,
    k: usize,
    metric: &str,
    threads: usize,
) -> PyResult<NeighborsOut<'py>> {
    let metric = Metric::parse(metric).map_err(|e| to_py(py, e))?;
    let (x, q) = (vectors(py, &reference, "`reference`")?, vectors(py, &queries, "`queries`")?);
    let rows = matrix_values(&candidates, "`candidates`")?;
    let found = run_job(py, threads, None, |run| nearest::refine(&x, &q, rows, k, metric, run))?;
    table(py, found, q.len(), k)
}

type ScoresOut<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<i64>>,
);

#[pyfunction]
#[pyo3(signature = (terms, distances, indptr, upward, *, prune, prefactor, threads=1))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn ontology_scores<'py>(
    py: Python<'py>,
    terms: PyReadonlyArray2<'py, i32>,
    distances: PyReadonlyArray2<'py, f64>,
    indptr: PyReadonlyArray1<'py, i64>,
    upward: PyReadonlyArray1<'py, i32>,
    prune: f64,
    prefactor: f64,
    threads: usize,
) -> PyResult<ScoresOut<'py>> {
    let k = terms.shape()[1];
    let upward = Upward::new(values(&indptr, "`indptr`")?, values(&upward, "`upward`")?);
    let upward = upward.map_err(|e| to_py(py, e))?;
    let (terms, d) = (matrix_values(&terms, "`terms`")?, matrix_values(&distances, "`distances`")?);
    let job = |run: &_| ontology::scores(terms, d, k, &upward, prune, prefactor, run);
    let out = run_job(py, threads, None, job)?;
    Ok((
        out.indptr.into_pyarray(py),
        out.terms.into_pyarray(py),
        out.scores.into_pyarray(py),
        out.weights.into_pyarray(py),
        out.unrecognized.into_pyarray(py),
    ))
}

type SummariesOut<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArrayDyn<f64>>,
);

#[pyfunction]
#[pyo3(signature = (groups, distances, *, threads=1))]
fn summary_statistics<'py>(
    py: Python<'py>,
    groups: PyReadonlyArray2<'py, i32>,
    distances: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<SummariesOut<'py>> {
    let k = groups.shape()[1];
    let (groups, d) = (matrix_values(&groups, "`groups`")?, matrix_values(&distances, "`distances`")?);
    let out = run_job(py, threads, None, |run| summary::summarize(groups, d, k, run))?;
    let n = out.counts.len();
    Ok((
        out.indptr.into_pyarray(py),
        out.groups.into_pyarray(py),
        out.counts.into_pyarray(py),
        matrix(py, out.statistics, &[n, STATISTICS])?,
    ))
}

//! Bindings of `ferrocyte_core::kernels::velocity`.

use ferrocyte_core::kernels::velocity::{
    deterministic, monte_carlo, single, stochastic, Direction, Inputs, Similarity,
};
use ferrocyte_core::Error;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{csr_parts, matrix, matrix_values, values, CsrArg, CsrParts, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(velocity_transitions, module)?)?;
    module.add_function(wrap_pyfunction!(velocity_moments, module)?)?;
    module.add_function(wrap_pyfunction!(similarity, module)?)?;
    module.add_function(wrap_pyfunction!(similarity_hessian, module)?)
}

fn parse_similarity(name: &str) -> Result<Similarity, Error> {
    match name {
        "cosine" => Ok(Similarity::Cosine),
        "correlation" => Ok(Similarity::Correlation),
        "dot_product" => Ok(Similarity::DotProduct),
        _ => Err(Error::parameter("similarity", "'cosine', 'correlation' or 'dot_product'", name)),
    }
}

fn parse_direction(name: &str) -> Result<Direction, Error> {
    match name {
        "forward" => Ok(Direction::Forward),
        "transpose" => Ok(Direction::Transpose),
        "negate" => Ok(Direction::Negate),
        _ => Err(Error::parameter("direction", "'forward', 'transpose' or 'negate'", name)),
    }
}

#[pyfunction]
#[pyo3(signature = (graph, x, v, genes, *, model, similarity, direction, softmax_scale, n_samples=1000,
    seed=0, threads=1, progress=None))]
#[allow(clippy::too_many_arguments)] // one for each parameter of the kernel's method
fn velocity_transitions<'py>(
    py: Python<'py>,
    graph: CsrArg<'py>,
    x: FeaturesArg<'py>,
    v: FeaturesArg<'py>,
    genes: Option<PyReadonlyArray1<'py, bool>>,
    model: &str,
    similarity: &str,
    direction: &str,
    softmax_scale: Option<f64>,
    n_samples: usize,
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<(CsrParts<'py>, CsrParts<'py>, f64)> {
    let graph = graph.graph(py)?;
    let genes = genes.as_ref().map(|mask| values(mask, "genes")).transpose()?;
    let (x, v) = (x.view(py, genes)?, v.view(py, genes)?);
    let (similarity, direction) = parse_similarity(similarity)
        .and_then(|s| Ok((s, parse_direction(direction)?)))
        .map_err(|e| to_py(py, e))?;
    let out = run_job(py, threads, progress, |run| {
        let inputs = Inputs::new(&graph, &x, &v)?;
        match (model, direction) {
            ("deterministic", _) => {
                deterministic::transitions(&inputs, similarity, direction, softmax_scale, run)
            }
            ("stochastic", Direction::Forward) => {
                stochastic::transitions(&inputs, similarity, softmax_scale, run)
            }
            ("monte_carlo", Direction::Forward) => {
                monte_carlo::transitions(&inputs, similarity, softmax_scale, n_samples, seed, run)
            }
            _ => {
                let expected = "'deterministic', or 'stochastic' or 'monte_carlo' with direction 'forward'";
                Err(Error::parameter("model", expected, format!("{model:?} with direction {direction:?}")))
            }
        }
    })?;
    Ok((csr_parts(py, out.probabilities), csr_parts(py, out.logits), out.softmax_scale))
}

type Pair<'py, A> = (Bound<'py, A>, Bound<'py, A>);

#[pyfunction]
#[pyo3(signature = (graph, v, genes, *, threads=1))]
fn velocity_moments<'py>(
    py: Python<'py>,
    graph: CsrArg<'py>,
    v: FeaturesArg<'py>,
    genes: Option<PyReadonlyArray1<'py, bool>>,
    threads: usize,
) -> PyResult<Pair<'py, PyArrayDyn<f64>>> {
    let graph = graph.graph(py)?;
    let v = v.view(py, genes.as_ref().map(|mask| values(mask, "genes")).transpose()?)?;
    let (mean, variance) = run_job(py, threads, None, |run| single::moments(&graph, &v, run))?;
    let shape = [v.n_rows(), v.width()];
    Ok((matrix(py, mean, &shape)?, matrix(py, variance, &shape)?))
}

#[pyfunction]
#[allow(non_snake_case)] // D is the field's name for the displacements
fn similarity<'py>(
    py: Python<'py>,
    name: &str,
    v: PyReadonlyArray2<'py, f64>,
    D: PyReadonlyArray2<'py, f64>,
    softmax_scale: f64,
) -> PyResult<Pair<'py, PyArray1<f64>>> {
    let (velocity, displacements) = (matrix_values(&v, "v")?, matrix_values(&D, "D")?);
    let genes = D.shape()[1];
    let (p, logits) = parse_similarity(name)
        .and_then(|s| single::probabilities(s, velocity, displacements, genes, softmax_scale))
        .map_err(|e| to_py(py, e))?;
    Ok((p.into_pyarray(py), logits.into_pyarray(py)))
}

#[pyfunction]
#[allow(non_snake_case)]
fn similarity_hessian<'py>(
    py: Python<'py>,
    name: &str,
    v: PyReadonlyArray1<'py, f64>,
    D: PyReadonlyArray2<'py, f64>,
    softmax_scale: f64,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (velocity, displacements) = (values(&v, "v")?, matrix_values(&D, "D")?);
    let genes = D.shape()[1];
    let out = parse_similarity(name)
        .and_then(|s| single::hessian(s, velocity, displacements, genes, softmax_scale))
        .map_err(|e| to_py(py, e))?;
    matrix(py, out, &[D.shape()[0], genes, genes])
}

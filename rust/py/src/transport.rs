//! Bindings of `ferrocyte_core::transport`.

use ferrocyte_core::transport::{self, Cost, Params};
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{matrix, matrix_values, values};
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(transport_potentials, module)?)?;
    module.add_function(wrap_pyfunction!(transport_plan, module)?)
}

/// A matrix of costs, or coordinates of source cells and, transposed, of target cells, with the scale.
#[derive(FromPyObject)]
enum CostArg<'py> {
    Given(PyReadonlyArray2<'py, f64>),
    Points(PyReadonlyArray2<'py, f64>, PyReadonlyArray2<'py, f64>, f64),
}

impl CostArg<'_> {
    fn view(&self) -> PyResult<Cost<'_>> {
        Ok(match self {
            Self::Given(costs) => {
                Cost::Given { values: matrix_values(costs, "the costs")?, n_target: costs.shape()[1] }
            }
            Self::Points(x, y, scale) => Cost::SquaredEuclidean {
                x: matrix_values(x, "source coordinates")?,
                y_transposed: matrix_values(y, "target coordinates")?,
                d: x.shape()[1],
                scale: *scale,
            },
        })
    }
}

type Solved<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, usize, f64);

#[pyfunction]
#[pyo3(signature = (cost, a, b, *, epsilon, lambda_source, lambda_target, tol, max_iter, max_stored, threads,
    progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
fn transport_potentials<'py>(
    py: Python<'py>,
    cost: CostArg<'py>,
    a: PyReadonlyArray1<'py, f64>,
    b: PyReadonlyArray1<'py, f64>,
    epsilon: f64,
    lambda_source: f64,
    lambda_target: f64,
    tol: f64,
    max_iter: usize,
    max_stored: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Solved<'py>> {
    let params = Params { epsilon, lambda_source, lambda_target, tol, max_iter, max_stored };
    let (a, b) = (values(&a, "`a`")?, values(&b, "`b`")?);
    let cost = cost.view()?;
    let out = run_job(py, threads, progress, |run| transport::solve(&cost, a, b, &params, run))?;
    Ok((out.source.into_pyarray(py), out.target.into_pyarray(py), out.iterations, out.residual))
}

#[pyfunction]
#[pyo3(signature = (cost, f, g, *, epsilon, start, stop, threads))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
fn transport_plan<'py>(
    py: Python<'py>,
    cost: CostArg<'py>,
    f: PyReadonlyArray1<'py, f64>,
    g: PyReadonlyArray1<'py, f64>,
    epsilon: f64,
    start: usize,
    stop: usize,
    threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (f, g) = (values(&f, "`f`")?, values(&g, "`g`")?);
    let cost = cost.view()?;
    let out = run_job(py, threads, None, |run| transport::plan(&cost, (f, g), epsilon, start..stop, run))?;
    matrix(py, out, &[stop - start, g.len()])
}

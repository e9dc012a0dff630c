//! Bindings of `ferrocyte_core::drivers`.

use ferrocyte_core::drivers::{self, Correlations, Params};
use numpy::{PyArrayDyn, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{matrix as to_numpy, matrix_values, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ColumnCorrelations>()?;
    module.add_function(wrap_pyfunction!(permutation_test, module)?)
}

type Array<'py> = Bound<'py, PyArrayDyn<f64>>;

#[pyclass(module = "ferrocyte._core")]
struct ColumnCorrelations(Correlations);

#[pymethods]
impl ColumnCorrelations {
    #[new]
    #[pyo3(signature = (n_cols, targets))]
    fn new(py: Python<'_>, n_cols: usize, targets: PyReadonlyArray2<'_, f64>) -> PyResult<Self> {
        let values = matrix_values(&targets, "`targets`")?.to_vec();
        let sums = Correlations::new(n_cols, values, targets.shape()[1]).map_err(|e| to_py(py, e))?;
        Ok(Self(sums))
    }

    #[pyo3(signature = (matrix, *, threads=1, progress=None))]
    fn add(
        &mut self,
        py: Python<'_>,
        matrix: FeaturesArg<'_>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let matrix = matrix.view(py, None)?;
        let piece = run_job(py, threads, progress, |run| self.0.read(&matrix, run))?;
        self.0.accept(&piece).map_err(|e| to_py(py, e))
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        let (n_cols, n_targets) = self.0.shape();
        to_numpy(py, self.0.finish().map_err(|e| to_py(py, e))?, &[n_cols, n_targets])
    }
}

#[pyfunction]
#[pyo3(signature = (matrix, targets, *, n_perms, quantiles, seed, threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
fn permutation_test<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    targets: PyReadonlyArray2<'py, f64>,
    n_perms: usize,
    quantiles: [f64; 2],
    seed: u64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<[Array<'py>; 4]> {
    let (matrix, n_targets) = (matrix.view(py, None)?, targets.shape()[1]);
    let targets = matrix_values(&targets, "`targets`")?;
    let params = Params { n_perms, seed, quantiles };
    let job = |run: &_| drivers::permutation_test(&matrix, targets, n_targets, &params, run);
    let out = run_job(py, threads, progress, job)?;
    let shape = [matrix.width(), n_targets];
    let array = |values| to_numpy(py, values, &shape);
    Ok([array(out.correlations)?, array(out.p_values)?, array(out.low)?, array(out.high)?])
}

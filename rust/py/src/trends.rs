//! Bindings of `ferrocyte_core::trends`.

use ferrocyte_core::trends::{
    self, Basis, Criterion, Design, Distribution, Family, Link, Params, Penalty, Smoothing, Trend, Unfit,
};
use ferrocyte_core::Error;
use numpy::{IntoPyArray, PyArrayDyn, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::{matrix, values, FeaturesArg};
use crate::error::to_py;
use crate::run::run_job;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(trend_basis, module)?)?;
    module.add_function(wrap_pyfunction!(trend_penalty, module)?)?;
    module.add_function(wrap_pyfunction!(fit_trends, module)?)
}

const DISTRIBUTIONS: [(&str, Distribution); 5] = [
    ("normal", Distribution::Normal),
    ("binomial", Distribution::Binomial),
    ("poisson", Distribution::Poisson),
    ("gamma", Distribution::Gamma),
    ("inv_gauss", Distribution::InverseGaussian),
];
const LINKS: [(&str, Link); 5] = [
    ("identity", Link::Identity),
    ("log", Link::Log),
    ("logit", Link::Logit),
    ("inverse", Link::Inverse),
    ("inv_squared", Link::InverseSquared),
];
const CRITERIA: [(&str, Criterion); 2] = [("gcv", Criterion::Gcv), ("reml", Criterion::Reml)];

/// The choice called `found`.
fn choice<T: Copy>(name: &'static str, all: &[(&str, T)], found: &str) -> ferrocyte_core::Result<T> {
    let expected = || all.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let known = all.iter().find(|(name, _)| *name == found);
    known.map(|k| k.1).ok_or_else(|| Error::parameter(name, format!("one of {}", expected()), found))
}

fn smoothing(lams: &[f64], criterion: Option<&str>) -> ferrocyte_core::Result<Smoothing> {
    let criterion = criterion.map(|c| choice("criterion", &CRITERIA, c)).transpose()?;
    match (lams, criterion) {
        ([lam], None) => Ok(Smoothing::Fixed(*lam)),
        ([], Some(criterion)) => Ok(Smoothing::Search(criterion)),
        (lams, Some(criterion)) => Ok(Smoothing::Grid(lams.to_vec(), criterion)),
        (lams, None) => Err(Error::parameter("lam", "one number, without a criterion", format!("{lams:?}"))),
    }
}

fn positions(numbers: &[i64], name: &'static str) -> ferrocyte_core::Result<Vec<usize>> {
    let one = |&i: &i64| usize::try_from(i).map_err(|_| Error::parameter(name, "at least 0", i));
    numbers.iter().map(one).collect()
}

#[pyfunction]
#[pyo3(signature = (x, *, n_splines, order, edges))]
fn trend_basis<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f64>,
    n_splines: usize,
    order: usize,
    edges: (f64, f64),
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let x = values(&x, "`x`")?;
    let basis = Basis::new(n_splines, order, edges.0, edges.1).map_err(|e| to_py(py, e))?;
    matrix(py, basis.matrix(x), &[x.len(), n_splines])
}

#[pyfunction]
#[pyo3(signature = (n_splines, *, derivative=1.0, ridge=1.0, intercept=true))]
fn trend_penalty(
    py: Python<'_>,
    n_splines: usize,
    derivative: f64,
    ridge: f64,
    intercept: bool,
) -> PyResult<Bound<'_, PyArrayDyn<f64>>> {
    if !(1..=trends::MAX_SPLINES).contains(&n_splines) {
        let expected = format!("from 1 to {}", trends::MAX_SPLINES);
        return Err(to_py(py, Error::parameter("n_splines", expected, n_splines)));
    }
    let penalty = Penalty { derivative, ridge, intercept };
    let s = penalty.matrix(n_splines).map_err(|e| to_py(py, e))?;
    matrix(py, s, &[n_splines, n_splines])
}

#[pyfunction]
#[pyo3(signature = (matrix, columns, rows, x, w, *, n_splines, order, edges, distribution, link, lams,
    criterion=None, expectile=None, derivative=1.0, ridge=1.0, intercept=true, max_iter=2000, tol=1e-8,
    threads=1, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are the arguments of the Python function")]
fn fit_trends<'py>(
    py: Python<'py>,
    matrix: FeaturesArg<'py>,
    columns: PyReadonlyArray1<'py, i64>,
    rows: PyReadonlyArray1<'py, i64>,
    x: PyReadonlyArray1<'py, f64>,
    w: PyReadonlyArray1<'py, f64>,
    n_splines: usize,
    order: usize,
    edges: (f64, f64),
    distribution: &str,
    link: &str,
    lams: Vec<f64>,
    criterion: Option<&str>,
    expectile: Option<f64>,
    derivative: f64,
    ridge: f64,
    intercept: bool,
    max_iter: usize,
    tol: f64,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let expression = matrix.view(py, None)?;
    let (x, w) = (values(&x, "`x`")?, values(&w, "`w`")?);
    let (columns, rows) = (values(&columns, "`columns`")?, values(&rows, "`rows`")?);
    let checked = || {
        let family = Family {
            distribution: choice("distribution", &DISTRIBUTIONS, distribution)?,
            link: choice("link", &LINKS, link)?,
            expectile,
        };
        let penalty = Penalty { derivative, ridge, intercept };
        let params = Params { family, penalty, smoothing: smoothing(&lams, criterion)?, max_iter, tol };
        let basis = Basis::new(n_splines, order, edges.0, edges.1)?;
        Ok((params, basis, positions(columns, "columns")?, positions(rows, "rows")?))
    };
    let (params, basis, columns, rows) = checked().map_err(|e| to_py(py, e))?;
    let fits = run_job(py, threads, progress, |run| {
        let design = Design::new(basis, x, w)?;
        trends::fit(&design, &expression, &columns, &rows, &params, run)
    })?;
    report(py, fits, n_splines)
}

/// Why there is no fit, and at which row.
fn reason(unfit: Unfit) -> (&'static str, i64) {
    match unfit {
        Unfit::NotFinite(row) => ("not_finite", row as i64),
        Unfit::OutOfRange(row) => ("out_of_range", row as i64),
        Unfit::NoMean => ("no_mean", -1),
        Unfit::Diverged => ("diverged", -1),
        Unfit::TooFewCells => ("too_few_cells", -1),
    }
}

fn report<'py>(py: Python<'py>, fits: Vec<Result<Trend, Unfit>>, n: usize) -> PyResult<Bound<'py, PyDict>> {
    let genes = fits.len();
    let (mut coefficients, mut covariance) =
        (Vec::with_capacity(genes * n), Vec::with_capacity(genes * n * n));
    let (mut failed, mut rows) = (Vec::with_capacity(genes), Vec::with_capacity(genes));
    for fit in &fits {
        match fit {
            Ok(trend) => {
                coefficients.extend_from_slice(&trend.coefficients);
                covariance.extend_from_slice(&trend.covariance);
            }
            Err(_) => {
                coefficients.resize(coefficients.len() + n, f64::NAN);
                covariance.resize(covariance.len() + n * n, f64::NAN);
            }
        }
        let (name, row) = fit.as_ref().err().map_or((None, -1), |&unfit| {
            let (name, row) = reason(unfit);
            (Some(name), row)
        });
        failed.push(name);
        rows.push(row);
    }
    let number = |get: fn(&Trend) -> f64| -> Vec<f64> {
        fits.iter().map(|fit| fit.as_ref().map_or(f64::NAN, get)).collect()
    };
    let out = PyDict::new(py);
    out.set_item("coefficients", matrix(py, coefficients, &[genes, n])?)?;
    out.set_item("covariance", matrix(py, covariance, &[genes, n, n])?)?;
    out.set_item("lam", number(|t| t.lam).into_pyarray(py))?;
    out.set_item("edf", number(|t| t.edf).into_pyarray(py))?;
    out.set_item("scale", number(|t| t.scale).into_pyarray(py))?;
    out.set_item("criterion", number(|t| t.criterion).into_pyarray(py))?;
    let iterations: Vec<i64> =
        fits.iter().map(|fit| fit.as_ref().map_or(0, |t| t.iterations as i64)).collect();
    out.set_item("iterations", iterations.into_pyarray(py))?;
    let converged: Vec<bool> = fits.iter().map(|fit| fit.as_ref().is_ok_and(|t| t.converged)).collect();
    out.set_item("converged", converged.into_pyarray(py))?;
    out.set_item("failed", failed)?;
    out.set_item("failed_row", rows.into_pyarray(py))?;
    Ok(out)
}

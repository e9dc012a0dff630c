//! numpy and scipy objects -> checked views of the core, and back.

use std::borrow::Cow;

use ferrocyte_core::csr::{Csr, Graph, TransitionMatrix};
use ferrocyte_core::features::{Element, Features, Matrix};
use numpy::{
    Element as NumpyElement, IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1,
    PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::Borrowed;

use crate::error::{to_py, InvalidDataError};

/// An integer array in either of the widths that scipy uses.
enum Ints<'py> {
    Narrow(PyReadonlyArray1<'py, i32>),
    Wide(PyReadonlyArray1<'py, i64>),
}

fn not_contiguous(what: &str) -> PyErr {
    InvalidDataError::new_err(format!(
        "expected {what} to be a contiguous array, found one with gaps; use numpy.ascontiguousarray"
    ))
}

fn slice<'a, T: NumpyElement>(array: &'a PyReadonlyArray1<'_, T>, what: &str) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| not_contiguous(what))
}

impl<'py> Ints<'py> {
    fn extract(owner: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        let array = owner.getattr(name)?;
        if let Ok(narrow) = array.extract() {
            return Ok(Self::Narrow(narrow));
        }
        array.extract().map(Self::Wide).map_err(|_| {
            InvalidDataError::new_err(format!("expected `{name}` to be a 1-D int32 or int64 array"))
        })
    }

    fn wide(&self) -> PyResult<Cow<'_, [i64]>> {
        Ok(match self {
            Self::Narrow(a) => slice(a, "indptr")?.iter().map(|&x| i64::from(x)).collect::<Vec<_>>().into(),
            Self::Wide(a) => slice(a, "indptr")?.into(),
        })
    }

    fn narrow(&self) -> PyResult<Cow<'_, [i32]>> {
        match self {
            Self::Narrow(a) => Ok(slice(a, "indices")?.into()),
            Self::Wide(a) => slice(a, "indices")?
                .iter()
                .map(|&x| i32::try_from(x))
                .collect::<Result<Vec<_>, _>>()
                .map(Cow::from)
                .map_err(|_| InvalidDataError::new_err("column indices beyond 2147483647 are not supported")),
        }
    }
}

/// A `scipy.sparse` CSR matrix with float64 values, as a function argument.
pub struct CsrArg<'py> {
    shape: (usize, usize),
    indptr: Ints<'py>,
    indices: Ints<'py>,
    data: PyReadonlyArray1<'py, f64>,
}

/// Refuses what is not a sparse matrix in CSR format. CSC has the same three arrays, with another meaning.
fn check_csr(obj: &Bound<'_, PyAny>) -> PyResult<()> {
    let format = obj.getattr("format").and_then(|format| format.extract::<String>());
    if format.is_ok_and(|format| format == "csr") {
        return Ok(());
    }
    Err(InvalidDataError::new_err(format!(
        "expected a scipy.sparse matrix in CSR format, found {}; use scipy.sparse.csr_matrix",
        obj.get_type().name()?
    )))
}

/// The row pointers, which must be one more than there are rows.
fn check_indptr<'a>(indptr: Cow<'a, [i64]>, n_rows: usize, n_cols: usize) -> PyResult<Cow<'a, [i64]>> {
    if indptr.len().checked_sub(1) != Some(n_rows) {
        let found = indptr.len();
        return Err(InvalidDataError::new_err(format!(
            "expected `indptr` to have one entry more than there are rows ({n_rows}), found {found}"
        )));
    }
    if i32::try_from(n_cols).is_err() {
        return Err(InvalidDataError::new_err("more than 2147483647 columns are not supported"));
    }
    Ok(indptr)
}

impl<'py> FromPyObject<'_, 'py> for CsrArg<'py> {
    type Error = PyErr;

    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        check_csr(&obj)?;
        let data = obj.getattr("data")?.extract().map_err(|_| {
            InvalidDataError::new_err("expected `data` of the sparse matrix to be a 1-D float64 array")
        })?;
        Ok(Self {
            shape: obj.getattr("shape")?.extract()?,
            indptr: Ints::extract(&obj, "indptr")?,
            indices: Ints::extract(&obj, "indices")?,
            data,
        })
    }
}

impl CsrArg<'_> {
    /// The checked view; only index arrays of another width are copied.
    pub fn view(&self, py: Python<'_>) -> PyResult<Csr<'_>> {
        let (n_rows, n_cols) = self.shape;
        let indptr = check_indptr(self.indptr.wide()?, n_rows, n_cols)?;
        Csr::new(n_cols, indptr, self.indices.narrow()?, slice(&self.data, "data")?).map_err(|e| to_py(py, e))
    }

    pub fn graph(&self, py: Python<'_>) -> PyResult<Graph<'_>> {
        Graph::new(self.view(py)?).map_err(|e| to_py(py, e))
    }

    pub fn transition_matrix(&self, py: Python<'_>) -> PyResult<TransitionMatrix<'_>> {
        TransitionMatrix::new(self.view(py)?).map_err(|e| to_py(py, e))
    }
}

/// A float32 or float64 matrix, dense in C order or `scipy.sparse` CSR, as a function argument.
pub enum FeaturesArg<'py> {
    DenseF32(PyReadonlyArray2<'py, f32>),
    DenseF64(PyReadonlyArray2<'py, f64>),
    SparseF32(SparseArg<'py, f32>),
    SparseF64(SparseArg<'py, f64>),
}

pub struct SparseArg<'py, E: NumpyElement> {
    shape: (usize, usize),
    indptr: Ints<'py>,
    indices: Ints<'py>,
    data: PyReadonlyArray1<'py, E>,
}

impl<'py> FromPyObject<'_, 'py> for FeaturesArg<'py> {
    type Error = PyErr;

    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(dense) = obj.extract() {
            return Ok(Self::DenseF32(dense));
        }
        if let Ok(dense) = obj.extract() {
            return Ok(Self::DenseF64(dense));
        }
        if !obj.hasattr("indptr")? {
            return Err(InvalidDataError::new_err(
                "expected a 2-D float32 or float64 numpy array or scipy CSR matrix",
            ));
        }
        check_csr(&obj)?;
        let shape = obj.getattr("shape")?.extract()?;
        let (indptr, indices) = (Ints::extract(&obj, "indptr")?, Ints::extract(&obj, "indices")?);
        let data = obj.getattr("data")?;
        if let Ok(data) = data.extract() {
            return Ok(Self::SparseF32(SparseArg { shape, indptr, indices, data }));
        }
        match data.extract() {
            Ok(data) => Ok(Self::SparseF64(SparseArg { shape, indptr, indices, data })),
            Err(_) => Err(InvalidDataError::new_err("expected float32 or float64 values in the CSR matrix")),
        }
    }
}

impl FeaturesArg<'_> {
    /// The view, restricted to the columns of `mask` if given.
    pub fn view(&self, py: Python<'_>, mask: Option<&[bool]>) -> PyResult<Features<'_>> {
        let features = match self {
            Self::DenseF32(a) => Features::F32(dense(py, a)?),
            Self::DenseF64(a) => Features::F64(dense(py, a)?),
            Self::SparseF32(a) => Features::F32(sparse(py, a)?),
            Self::SparseF64(a) => Features::F64(sparse(py, a)?),
        };
        match mask {
            Some(mask) => features.select(mask).map_err(|e| to_py(py, e)),
            None => Ok(features),
        }
    }
}

fn dense<'a, E: NumpyElement + Element>(
    py: Python<'_>,
    array: &'a PyReadonlyArray2<'_, E>,
) -> PyResult<Matrix<'a, E>> {
    let [n_rows, n_cols] = [array.shape()[0], array.shape()[1]];
    let data = matrix_values(array, "the matrix")?;
    Matrix::dense(n_rows, n_cols, data).map_err(|e| to_py(py, e))
}

fn sparse<'a, E: NumpyElement + Element>(
    py: Python<'_>,
    arg: &'a SparseArg<'_, E>,
) -> PyResult<Matrix<'a, E>> {
    let (n_rows, n_cols) = arg.shape;
    let indptr = check_indptr(arg.indptr.wide()?, n_rows, n_cols)?;
    Matrix::sparse(n_cols, indptr, arg.indices.narrow()?, slice(&arg.data, "data")?).map_err(|e| to_py(py, e))
}

/// A 1-D array argument as a slice, or an error that names it.
pub fn values<'a, T: NumpyElement>(array: &'a PyReadonlyArray1<'_, T>, what: &str) -> PyResult<&'a [T]> {
    slice(array, what)
}

/// A 2-D array argument, row after row, or an error that names it.
pub fn matrix_values<'a, T: NumpyElement>(
    array: &'a PyReadonlyArray2<'_, T>,
    what: &str,
) -> PyResult<&'a [T]> {
    let error = || not_contiguous(&format!("{what} (in C order)"));
    // `as_slice` alone also accepts Fortran order, and would read columns as rows.
    if !array.is_c_contiguous() {
        return Err(error());
    }
    array.as_slice().map_err(|_| error())
}

/// `(data, indices, indptr)` for `scipy.sparse.csr_matrix`; row pointers are int32 while they fit.
pub type CsrParts<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyAny>);

/// Hands a matrix to Python without a copy (row pointers are narrowed when they fit).
pub fn csr_parts<'py>(py: Python<'py>, csr: Csr<'_>) -> CsrParts<'py> {
    let (indptr, indices, data) = csr.into_parts();
    (data.into_pyarray(py), indices.into_pyarray(py), index_array(py, indptr))
}

fn index_array(py: Python<'_>, indptr: Vec<i64>) -> Bound<'_, PyAny> {
    match indptr.iter().map(|&x| i32::try_from(x)).collect::<Result<Vec<_>, _>>() {
        Ok(narrow) => narrow.into_pyarray(py).into_any(),
        Err(_) => indptr.into_pyarray(py).into_any(),
    }
}

/// A `(rows, columns)` array from values that lie row after row.
pub fn matrix<'py>(
    py: Python<'py>,
    values: Vec<f64>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    values.into_pyarray(py).reshape(shape)
}

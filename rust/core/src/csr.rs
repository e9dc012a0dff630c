//! Checked views of square compressed-row matrices: graphs and transition matrices.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// A compressed-row matrix whose arrays were checked against each other.
///
/// Row pointers start at 0 and never decrease; column indices are in range and strictly increasing in
/// every row; values are finite. Borrowed or owned; columns are `i32`, which holds 2 billion cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr<'a> {
    n_cols: usize,
    indptr: Cow<'a, [i64]>,
    indices: Cow<'a, [i32]>,
    data: Cow<'a, [f64]>,
}

impl<'a> Csr<'a> {
    /// Checks the three arrays and wraps them without a copy.
    ///
    /// # Errors
    /// [`Error::Structure`] when the arrays contradict each other or columns are unsorted, repeated or
    /// out of range; [`Error::NotFinite`] for NaN or infinite values.
    pub fn new(
        n_cols: usize,
        indptr: impl Into<Cow<'a, [i64]>>,
        indices: impl Into<Cow<'a, [i32]>>,
        data: impl Into<Cow<'a, [f64]>>,
    ) -> Result<Self> {
        let out = Self { n_cols, indptr: indptr.into(), indices: indices.into(), data: data.into() };
        check_structure(n_cols, &out.indptr, &out.indices, out.data.len())?;
        for i in 0..out.n_rows() {
            if out.row(i).1.iter().any(|w| !w.is_finite()) {
                return Err(Error::NotFinite { what: "the matrix".into(), row: i });
            }
        }
        Ok(out)
    }

    /// Wraps arrays that were made row by row by this crate and are valid by construction.
    pub(crate) fn from_parts(
        n_cols: usize,
        indptr: Vec<i64>,
        indices: Vec<i32>,
        data: Vec<f64>,
    ) -> Csr<'static> {
        debug_assert!(check_structure(n_cols, &indptr, &indices, data.len()).is_ok());
        Csr { n_cols, indptr: indptr.into(), indices: indices.into(), data: data.into() }
    }

    /// Number of rows.
    #[must_use]
    #[inline]
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of stored values.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.data.len()
    }

    /// Where the values of row `i` lie in the value array.
    #[must_use]
    #[inline]
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        // Checked at construction: non-negative and at most nnz, so the cast is exact.
        self.indptr[i] as usize..self.indptr[i + 1] as usize
    }

    /// Columns and values of row `i`.
    #[must_use]
    #[inline]
    pub fn row(&self, i: usize) -> (&[i32], &[f64]) {
        let range = self.range(i);
        (&self.indices[range.clone()], &self.data[range])
    }

    /// Columns of row `i`.
    #[must_use]
    #[inline]
    pub fn cols(&self, i: usize) -> &[i32] {
        &self.indices[self.range(i)]
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.data
    }

    /// Row pointers, columns and values; copies what was borrowed.
    #[must_use]
    pub fn into_parts(self) -> (Vec<i64>, Vec<i32>, Vec<f64>) {
        (self.indptr.into_owned(), self.indices.into_owned(), self.data.into_owned())
    }

    /// The same structure with other values, one for each that is stored.
    #[must_use]
    pub(crate) fn with_values(&self, values: Vec<f64>) -> Csr<'_> {
        debug_assert_eq!(values.len(), self.nnz());
        Csr {
            n_cols: self.n_cols,
            indptr: Cow::Borrowed(&self.indptr),
            indices: Cow::Borrowed(&self.indices),
            data: values.into(),
        }
    }

    /// The same structure with other values, of which exact zeros are dropped.
    #[must_use]
    pub fn with_values_without_zeros(&self, mut values: Vec<f64>) -> Csr<'static> {
        debug_assert_eq!(values.len(), self.nnz());
        let mut indices = self.indices.to_vec();
        if values.iter().all(|&w| w != 0.0) {
            return Csr::from_parts(self.n_cols, self.indptr.to_vec(), indices, values);
        }
        let mut indptr = Vec::with_capacity(self.indptr.len());
        let mut kept = 0;
        indptr.push(0);
        for i in 0..self.n_rows() {
            for k in self.range(i) {
                if values[k] != 0.0 {
                    values[kept] = values[k];
                    indices[kept] = indices[k];
                    kept += 1;
                }
            }
            indptr.push(kept as i64);
        }
        values.truncate(kept);
        indices.truncate(kept);
        Csr::from_parts(self.n_cols, indptr, indices, values)
    }

    /// The transpose, by counting sort.
    #[must_use]
    pub fn transpose(&self) -> Csr<'static> {
        let mut indptr = vec![0_i64; self.n_cols + 1];
        for &j in self.indices.iter() {
            indptr[j as usize + 1] += 1;
        }
        for j in 0..self.n_cols {
            indptr[j + 1] += indptr[j];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0_i32; self.nnz()];
        let mut data = vec![0.0; self.nnz()];
        for i in 0..self.n_rows() {
            let (cols, values) = self.row(i);
            for (&j, &w) in cols.iter().zip(values) {
                let at = next[j as usize] as usize;
                next[j as usize] += 1;
                indices[at] = i as i32;
                data[at] = w;
            }
        }
        Csr::from_parts(self.n_rows(), indptr, indices, data)
    }
}

fn check_structure(n_cols: usize, indptr: &[i64], indices: &[i32], n_values: usize) -> Result<()> {
    let fail = |message: String| Err(Error::Structure(message));
    let Some((&first, &last)) = indptr.first().zip(indptr.last()) else {
        return fail("the row pointer array is empty, it needs one entry more than there are rows".into());
    };
    if first != 0 {
        return fail(format!("row pointers must start at 0, found {first}"));
    }
    if let Some(i) = indptr.windows(2).position(|w| w[1] < w[0]) {
        return fail(format!("row pointers decrease at row {i}"));
    }
    if usize::try_from(last) != Ok(indices.len()) || indices.len() != n_values {
        return fail(format!(
            "row pointers end at {last}, but there are {} column indices and {n_values} values",
            indices.len()
        ));
    }
    for (i, w) in indptr.windows(2).enumerate() {
        let cols = &indices[w[0] as usize..w[1] as usize];
        if let Some(&j) = cols.iter().find(|&&j| usize::try_from(j).map_or(true, |j| j >= n_cols)) {
            return fail(format!("column {j} in row {i} is outside of 0..{n_cols}"));
        }
        if cols.windows(2).any(|c| c[1] <= c[0]) {
            return fail(format!("columns of row {i} are not sorted or repeat"));
        }
    }
    Ok(())
}

/// A square [`Csr`] with weights that are finite and not negative: a nearest-neighbor graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph<'a>(Csr<'a>);

impl<'a> Graph<'a> {
    /// # Errors
    /// [`Error::Shape`] when not square, [`Error::Negative`] for a negative weight.
    pub fn new(csr: Csr<'a>) -> Result<Self> {
        square(&csr, "the graph")?;
        non_negative(&csr)?;
        Ok(Self(csr))
    }
}

impl<'a> std::ops::Deref for Graph<'a> {
    type Target = Csr<'a>;
    fn deref(&self) -> &Csr<'a> {
        &self.0
    }
}

/// A square [`Csr`] of probabilities whose rows sum to 1: one step of a Markov chain.
#[derive(Debug, Clone, PartialEq)]
pub struct TransitionMatrix<'a>(Csr<'a>);

impl<'a> TransitionMatrix<'a> {
    /// How far a row sum may be from 1.
    pub const TOLERANCE: f64 = 1e-8;

    /// # Errors
    /// [`Error::Shape`] when not square, [`Error::Negative`] for a negative entry,
    /// [`Error::NotStochastic`] for a row whose sum is off by more than [`Self::TOLERANCE`].
    pub fn new(csr: Csr<'a>) -> Result<Self> {
        square(&csr, "the transition matrix")?;
        non_negative(&csr)?;
        for i in 0..csr.n_rows() {
            let sum: f64 = csr.row(i).1.iter().sum();
            if (sum - 1.0).abs() > Self::TOLERANCE {
                return Err(Error::NotStochastic { row: i, sum });
            }
        }
        Ok(Self(csr))
    }
}

impl<'a> std::ops::Deref for TransitionMatrix<'a> {
    type Target = Csr<'a>;
    fn deref(&self) -> &Csr<'a> {
        &self.0
    }
}

fn square(csr: &Csr<'_>, what: &str) -> Result<()> {
    if csr.n_rows() == csr.n_cols() {
        return Ok(());
    }
    let n = csr.n_rows();
    Err(Error::shape(what, format!("shape ({n}, {n})"), format!("({n}, {})", csr.n_cols())))
}

fn non_negative(csr: &Csr<'_>) -> Result<()> {
    let negative = |i: &usize| csr.row(*i).1.iter().any(|&w| w < 0.0);
    (0..csr.n_rows()).find(negative).map_or(Ok(()), |row| Err(Error::Negative { row }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Csr<'static> {
        // [[0, 1, 2], [0, 0, 3], [4, 0, 0]]
        Csr::new(3, vec![0, 2, 3, 4], vec![1, 2, 2, 0], vec![1.0, 2.0, 3.0, 4.0]).unwrap()
    }

    #[test]
    fn malformed_arrays_are_named() {
        let bad = |indptr: Vec<i64>, indices: Vec<i32>| {
            let n = indices.len();
            Csr::new(3, indptr, indices, vec![1.0; n]).unwrap_err().to_string()
        };
        assert!(bad(vec![], vec![]).contains("empty"));
        assert!(bad(vec![1, 1], vec![]).contains("start at 0"));
        assert!(bad(vec![0, 2, 1], vec![0, 1]).contains("decrease at row 1"));
        assert!(bad(vec![0, 3], vec![0, 1]).contains("end at 3"));
        assert!(bad(vec![0, -1], vec![]).contains("decrease"));
        assert!(bad(vec![0, 1], vec![3]).contains("outside"));
        assert!(bad(vec![0, 1], vec![-1]).contains("outside"));
        assert!(bad(vec![0, 2], vec![1, 0]).contains("not sorted"));
        assert!(bad(vec![0, 2], vec![1, 1]).contains("repeat"));
        assert!(matches!(
            Csr::new(1, vec![0, 1], vec![0], vec![f64::NAN]),
            Err(Error::NotFinite { row: 0, .. })
        ));
    }

    #[test]
    fn transpose_swaps_rows_and_columns() {
        let (indptr, indices, data) = small().transpose().into_parts();
        assert_eq!(indptr, [0, 1, 2, 4]);
        assert_eq!(indices, [2, 0, 0, 1]);
        assert_eq!(data, [4.0, 1.0, 2.0, 3.0]);
        assert_eq!(small().transpose().transpose(), small());
    }

    #[test]
    fn dropping_zeros_keeps_the_rest_in_place() {
        let out = small().with_values_without_zeros(vec![0.0, 5.0, 0.0, 6.0]);
        assert_eq!(out.row(0), (&[2][..], &[5.0][..]));
        assert_eq!(out.row(1), (&[][..], &[][..]));
        assert_eq!(out.row(2), (&[0][..], &[6.0][..]));
    }

    #[test]
    fn the_checked_types_refuse_what_they_say() {
        assert!(matches!(TransitionMatrix::new(small()), Err(Error::NotStochastic { row: 0, .. })));
        let negative = Csr::new(2, vec![0, 1, 2], vec![0, 1], vec![1.0, -1.0]).unwrap();
        assert_eq!(Graph::new(negative), Err(Error::Negative { row: 1 }));
        let wide = Csr::new(3, vec![0, 1], vec![2], vec![1.0]).unwrap();
        assert!(matches!(Graph::new(wide), Err(Error::Shape { .. })));
    }
}

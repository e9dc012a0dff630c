//! Columns of a matrix that lies row after row.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::features::{Element, Features, Matrix};
use crate::with_matrix;

/// Some columns at some rows: dense ones are read where they lie, sparse ones turned around once.
pub(crate) struct Columns<'a> {
    rows: &'a [usize],
    storage: Storage<'a>,
}

enum Storage<'a> {
    Dense(&'a Features<'a>, &'a [usize]),
    /// Entries of one column after another: where each column begins, position among the rows, value.
    Turned(Vec<usize>, Vec<u32>, Vec<f64>),
}

impl<'a> Columns<'a> {
    /// # Errors
    /// [`Error::Shape`] when a row or column does not exist, [`Error::Parameter`] when a column is named
    /// twice.
    pub(crate) fn new(features: &'a Features<'a>, columns: &'a [usize], rows: &'a [usize]) -> Result<Self> {
        let (n_rows, n_cols, sparse) = with_matrix!(features, m => (m.n_rows(), m.n_cols(), m.n_rows() > 0 && m.row_slices(0).0.is_some()));
        if let Some(&row) = rows.iter().find(|&&r| r >= n_rows) {
            return Err(Error::shape("the matrix", format!("more than {row} rows"), n_rows));
        }
        let mut place = vec![u32::MAX; n_cols];
        for (at, &column) in columns.iter().enumerate() {
            match place.get_mut(column) {
                None => {
                    return Err(Error::shape("the matrix", format!("more than {column} columns"), n_cols))
                }
                Some(p) if *p == u32::MAX => *p = at as u32,
                Some(_) => {
                    return Err(Error::parameter("columns", "all different", format!("{column} twice")))
                }
            }
        }
        let storage = if sparse {
            with_matrix!(features, m => turn(m, &place, columns.len(), rows))
        } else {
            Storage::Dense(features, columns)
        };
        Ok(Self { rows, storage })
    }

    /// Writes some of the columns to `out`, one after another, each of the length of the rows.
    pub(crate) fn fetch(&self, which: Range<usize>, out: &mut [f64]) {
        let n = self.rows.len();
        match &self.storage {
            Storage::Dense(features, columns) => {
                with_matrix!(features, m => tile(m, self.rows, &columns[which], out));
            }
            Storage::Turned(begins, at, values) => {
                out[..n * which.len()].fill(0.0);
                for (k, column) in which.enumerate() {
                    let range = begins[column]..begins[column + 1];
                    for (&i, &value) in at[range.clone()].iter().zip(&values[range]) {
                        out[k * n + i as usize] += value; // repeated entries add up
                    }
                }
            }
        }
    }
}

fn tile<E: Element>(m: &Matrix<'_, E>, rows: &[usize], columns: &[usize], out: &mut [f64]) {
    for (i, &row) in rows.iter().enumerate() {
        let (_, values) = m.row_slices(row);
        for (k, &column) in columns.iter().enumerate() {
            out[k * rows.len() + i] = values[column].into();
        }
    }
}

fn turn<'a, E: Element>(m: &Matrix<'_, E>, place: &[u32], n: usize, rows: &[usize]) -> Storage<'a> {
    let entries = |row: usize| {
        let (cols, values) = m.row_slices(row);
        let place = |c: i32| place[c as usize];
        cols.unwrap_or(&[])
            .iter()
            .zip(values)
            .map(move |(&c, &v)| (place(c), v))
            .filter(|(p, _)| *p != u32::MAX)
    };
    let mut begins = vec![0_usize; n + 1];
    for &row in rows {
        entries(row).for_each(|(p, _)| begins[p as usize + 1] += 1);
    }
    for k in 0..n {
        begins[k + 1] += begins[k];
    }
    let mut next = begins.clone();
    let (mut at, mut out) = (vec![0_u32; begins[n]], vec![0.0; begins[n]]);
    for (i, &row) in rows.iter().enumerate() {
        for (p, v) in entries(row) {
            let k = &mut next[p as usize];
            (at[*k], out[*k]) = (i as u32, v.into());
            *k += 1;
        }
    }
    Storage::Turned(begins, at, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_sparse_columns_are_the_same() {
        let values = [1.0_f32, 0.0, 2.0, 0.0, 3.0, 4.0];
        let dense = Features::F32(Matrix::dense(2, 3, &values).unwrap());
        let stored = [2.0_f32, 1.0, 1.0, 3.0, 3.0];
        let (indptr, indices) = (vec![0_i64, 2, 5], vec![2_i32, 0, 2, 1, 2]);
        let sparse = Features::F32(Matrix::sparse(3, indptr, indices, &stored).unwrap());
        for features in [&dense, &sparse] {
            let columns = Columns::new(features, &[2, 0], &[1, 0, 1]).unwrap();
            let mut out = [9.0; 6];
            columns.fetch(0..2, &mut out);
            assert_eq!(out, [4.0, 2.0, 4.0, 0.0, 1.0, 0.0]);
            assert!(Columns::new(features, &[1, 1], &[0]).is_err());
            assert!(Columns::new(features, &[3], &[0]).is_err());
            assert!(Columns::new(features, &[0], &[2]).is_err());
        }
    }
}

//! Small dense matrices, column after column: the projected problems, a few dozen rows at most.

use std::ops::{Index, IndexMut};

/// A dense matrix in column-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Mat {
    n_rows: usize,
    n_cols: usize,
    data: Vec<f64>,
}

impl Mat {
    /// All zero.
    #[must_use]
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, data: vec![0.0; n_rows * n_cols] }
    }

    /// The identity.
    #[must_use]
    pub fn identity(n: usize) -> Self {
        Self::from_fn(n, n, |i, j| f64::from(u8::from(i == j)))
    }

    /// Entry by entry.
    #[must_use]
    pub fn from_fn(n_rows: usize, n_cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..n_cols).flat_map(|j| (0..n_rows).map(move |i| (i, j))).map(|(i, j)| f(i, j)).collect();
        Self { n_rows, n_cols, data }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Column `j`.
    #[must_use]
    pub fn col(&self, j: usize) -> &[f64] {
        &self.data[j * self.n_rows..(j + 1) * self.n_rows]
    }

    /// Column `j`, to be written.
    pub fn col_mut(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * self.n_rows..(j + 1) * self.n_rows]
    }

    /// The entries of `rows` x `cols` as a matrix of their own.
    #[must_use]
    pub fn block(&self, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) -> Self {
        Self::from_fn(rows.len(), cols.len(), |i, j| self[(rows.start + i, cols.start + j)])
    }

    /// Writes `other` over the entries from `(row, col)` on.
    pub fn set_block(&mut self, row: usize, col: usize, other: &Self) {
        for j in 0..other.n_cols {
            let n = other.n_rows;
            self.col_mut(col + j)[row..row + n].copy_from_slice(other.col(j));
        }
    }

    /// The transpose.
    #[must_use]
    pub fn transpose(&self) -> Self {
        Self::from_fn(self.n_cols, self.n_rows, |i, j| self[(j, i)])
    }

    /// The product with `other`.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let mut out = Self::zeros(self.n_rows, other.n_cols);
        for j in 0..other.n_cols {
            for (k, &factor) in other.col(j).iter().enumerate() {
                for (out, &a) in out.col_mut(j).iter_mut().zip(self.col(k)) {
                    *out += a * factor;
                }
            }
        }
        out
    }

    /// Upper triangular `R` with `self = R^T R` for a symmetric matrix, up to the first column whose pivot is below
    /// what `least` says.
    #[must_use]
    pub fn cholesky(&self, least: impl Fn(usize) -> f64) -> Self {
        let mut r = Self::zeros(self.n_rows, self.n_cols);
        for j in 0..self.n_cols {
            for i in 0..=j {
                let known: f64 = (0..i).map(|k| r[(k, i)] * r[(k, j)]).sum();
                let value = self[(i, j)] - known;
                if i < j {
                    r[(i, j)] = value / r[(i, i)];
                } else if value >= least(j) {
                    r[(j, j)] = value.sqrt();
                } else {
                    return r.block(0..j, 0..j);
                }
            }
        }
        r
    }

    /// Square root of the sum of squares.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.data.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// The entries row after row.
    #[must_use]
    pub fn row_major(&self) -> Vec<f64> {
        self.transpose().data
    }

    /// Solves `self x = b` for each column of `b` by elimination with complete pivoting; `None` when a
    /// pivot is zero to rounding.
    #[must_use]
    pub fn solve(&self, b: &Self) -> Option<Self> {
        let n = self.n_rows;
        let (mut a, mut x) = (self.clone(), b.clone());
        let mut order: Vec<usize> = (0..n).collect();
        let largest = a.data.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for k in 0..n {
            let (mut p, mut q) = (k, k);
            for j in k..n {
                for i in k..n {
                    if a[(i, j)].abs() > a[(p, q)].abs() {
                        (p, q) = (i, j);
                    }
                }
            }
            // Written so that NaN is refused too.
            if a[(p, q)].abs().partial_cmp(&(largest * 1e-300).max(f64::MIN_POSITIVE))
                != Some(std::cmp::Ordering::Greater)
            {
                return None;
            }
            a.swap_rows(k, p);
            x.swap_rows(k, p);
            order.swap(k, q);
            for i in 0..n {
                let (left, right) = (a[(i, k)], a[(i, q)]);
                a[(i, k)] = right;
                a[(i, q)] = left;
            }
            for i in k + 1..n {
                let factor = a[(i, k)] / a[(k, k)];
                for j in k + 1..n {
                    a[(i, j)] -= factor * a[(k, j)];
                }
                for j in 0..x.n_cols {
                    x[(i, j)] -= factor * x[(k, j)];
                }
            }
        }
        let mut out = Self::zeros(n, x.n_cols);
        for j in 0..x.n_cols {
            for k in (0..n).rev() {
                let known: f64 = (k + 1..n).map(|i| a[(k, i)] * out[(order[i], j)]).sum();
                out[(order[k], j)] = (x[(k, j)] - known) / a[(k, k)];
            }
        }
        Some(out)
    }

    /// The inverse, by Gauss-Jordan elimination with row pivoting; `None` if a pivot is 0.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let n = self.n_rows;
        // Row after row in memory: the transpose is inverted.
        let (mut a, mut out) = (self.transpose(), Self::identity(n));
        for k in 0..n {
            let largest = |p: usize, i: usize| if a.col(i)[k].abs() > a.col(p)[k].abs() { i } else { p };
            let p = (k..n).fold(k, largest);
            let pivot = a.col(p)[k];
            if pivot == 0.0 || !pivot.is_finite() {
                return None;
            }
            for m in [&mut a, &mut out] {
                (0..n).for_each(|row| m.data.swap(k * n + row, p * n + row));
                m.col_mut(k).iter_mut().for_each(|x| *x /= pivot);
            }
            for i in (0..n).filter(|&i| i != k) {
                let factor = a.col(i)[k];
                if factor == 0.0 {
                    continue;
                }
                for m in [&mut a, &mut out] {
                    let (low, high) = m.data.split_at_mut(i.max(k) * n);
                    let (target, source) = if i > k {
                        (&mut high[..n], &low[k * n..(k + 1) * n])
                    } else {
                        (&mut low[i * n..(i + 1) * n], &high[..n])
                    };
                    target.iter_mut().zip(source).for_each(|(x, y)| *x -= factor * y);
                }
            }
        }
        Some(out.transpose())
    }

    fn swap_rows(&mut self, a: usize, b: usize) {
        if a != b {
            (0..self.n_cols).for_each(|j| self.col_mut(j).swap(a, b));
        }
    }
}

impl Index<(usize, usize)> for Mat {
    type Output = f64;
    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        &self.data[j * self.n_rows + i]
    }
}

impl IndexMut<(usize, usize)> for Mat {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        &mut self.data[j * self.n_rows + i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_on_paper() {
        // 2x + y = 5, x + 3y = 10; and the same with right-hand side (1, 0)
        let a = Mat::from_fn(2, 2, |i, j| [[2.0, 1.0], [1.0, 3.0]][i][j]);
        let b = Mat::from_fn(2, 2, |i, j| [[5.0, 1.0], [10.0, 0.0]][i][j]);
        let x = a.solve(&b).unwrap();
        let expected = Mat::from_fn(2, 2, |i, j| [[1.0, 0.6], [3.0, -0.2]][i][j]);
        assert!((0..2).all(|j| (0..2).all(|i| (x[(i, j)] - expected[(i, j)]).abs() < 1e-15)));
        assert_eq!(Mat::zeros(2, 2).solve(&b), None);
        let inverse = a.inverse().unwrap();
        let product = a.times(&inverse);
        assert!(Mat::from_fn(2, 2, |i, j| product[(i, j)] - f64::from(u8::from(i == j))).norm() < 1e-15);
        // No zero pivot is met when rows are exchanged.
        let swap = Mat::from_fn(2, 2, |i, j| f64::from(u8::from(i != j)));
        assert_eq!(swap.inverse().unwrap(), swap);
        assert_eq!(Mat::zeros(2, 2).inverse(), None);
    }

    /// `[[4, 2], [2, 10]]` is `R^T R` with `R = [[2, 1], [0, 3]]`.
    #[test]
    fn cholesky_on_paper() {
        let a = Mat::from_fn(2, 2, |i, j| [[4.0, 2.0], [2.0, 10.0]][i][j]);
        let r = a.cholesky(|_| 1.0);
        assert_eq!(r, Mat::from_fn(2, 2, |i, j| [[2.0, 1.0], [0.0, 3.0]][i][j]));
        assert_eq!(a.cholesky(|j| [1.0, 9.5][j]), Mat::from_fn(1, 1, |_, _| 2.0));
    }
}

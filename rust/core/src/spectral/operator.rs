//! The matrix whose dominant subspace is wanted: a chain seen through the weights of its states.

use super::basis::{for_tiles, TILE};
use crate::csr::Csr;

/// `x -> L T R x` with diagonal `L` and `R`.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    t: &'a Csr<'a>,
    left: Option<Vec<f64>>,
    right: Option<Vec<f64>>,
    parallel: bool,
}

impl<'a> Operator<'a> {
    /// `t` as it is.
    pub(super) fn plain(t: &'a Csr<'a>, parallel: bool) -> Self {
        Self { t, left: None, right: None, parallel }
    }

    /// `D^(1/2) T D^(-1/2)` with `D = diag(roots^2)`, rows of `t` divided by their sums: its eigenvector of
    /// eigenvalue 1 is `roots` to the last bit or so, also if rows sum to 1 only roughly. Its orthonormal
    /// Schur vectors, divided by `roots`, are those of `T` that are orthonormal in the product with `D`.
    pub(super) fn weighted(t: &'a Csr<'a>, roots: Option<&[f64]>, parallel: bool) -> Self {
        let sum = |i: usize| t.row(i).1.iter().sum::<f64>();
        let left = (0..t.n_rows()).map(|i| roots.map_or(1.0, |d| d[i]) / sum(i)).collect();
        let right = roots.map(|d| d.iter().map(|d| 1.0 / d).collect());
        Self { t, left: Some(left), right, parallel }
    }

    pub(super) fn n(&self) -> usize {
        self.t.n_rows()
    }

    /// Writes the product with `x` to `y`; `x` is used up.
    pub(super) fn apply(&self, x: &mut [f64], y: &mut [f64]) {
        if let Some(right) = &self.right {
            x.iter_mut().zip(right).for_each(|(x, r)| *x *= r);
        }
        let x = &*x;
        let n_tiles = y.len().div_ceil(TILE);
        let (mut none, mut nothing) = (vec![0.0; n_tiles], vec![0.0; n_tiles]);
        for_tiles(self.parallel, (y, TILE), (&mut none, 1), (&mut nothing, 1), |tile, y, _, _| {
            for (i, y) in y.iter_mut().enumerate() {
                let row = tile * TILE + i;
                let (cols, values) = self.t.row(row);
                *y = product(cols, values, x) * self.left.as_ref().map_or(1.0, |left| left[row]);
            }
        });
    }
}

/// Product of a sparse row with a vector, as four sums: one alone would wait for each addition.
fn product(cols: &[i32], values: &[f64], x: &[f64]) -> f64 {
    let (c4, c_rest) = cols.as_chunks::<4>();
    let (v4, v_rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (c, v) in c4.iter().zip(v4) {
        for k in 0..4 {
            sums[k] += v[k] * x[c[k] as usize];
        }
    }
    for (&c, v) in c_rest.iter().zip(v_rest) {
        sums[0] += v * x[c as usize];
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

//! Passes over the cells: points in the space of the Schur vectors, one row each.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::simd::dispatch;

/// Cells per block of work.
const BLOCK: usize = 1024;
/// Fewer cells than this are not worth the threads.
const FEW: usize = 8 * BLOCK;

/// Points `(1, x)`, `m` coordinates each, row after row.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    pub(super) m: usize,
    pub(super) x: Vec<f64>,
    parallel: bool,
}

impl Cells {
    /// The first `m` of the `width` columns of `x`.
    pub(super) fn new(x: &[f64], width: usize, m: usize, parallel: bool) -> Self {
        let x: Vec<f64> = x.chunks_exact(width).flat_map(|row| &row[..m]).copied().collect();
        let parallel = parallel && x.len() / m >= FEW;
        Self { m, x, parallel }
    }

    /// None yet; points are to be added to `x`.
    pub(super) fn empty(m: usize) -> Self {
        Self { m, x: vec![], parallel: false }
    }

    /// Some of the cells.
    pub(super) fn select(&self, cells: &[usize]) -> Self {
        let x = cells.iter().flat_map(|&l| self.row(l)).copied().collect();
        Self { m: self.m, x, parallel: self.parallel && cells.len() >= FEW }
    }

    pub(super) fn len(&self) -> usize {
        self.x.len() / self.m
    }

    pub(super) fn row(&self, l: usize) -> &[f64] {
        &self.x[l * self.m..(l + 1) * self.m]
    }

    /// `x a` for a matrix of `m` rows and `columns` columns, row after row.
    pub(super) fn times(&self, a: &[f64], columns: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.len() * columns];
        let work = |(x, out): (&[f64], &mut [f64])| {
            dispatch(Times { x, a, m: self.m, columns, out });
        };
        let (rows, result) = (BLOCK * self.m, BLOCK * columns);
        if self.parallel {
            self.x.par_chunks(rows).zip(out.par_chunks_mut(result)).for_each(work);
        } else {
            self.x.chunks(rows).zip(out.chunks_mut(result)).for_each(work);
        }
        out
    }

    /// For each column of `x a` its smallest value and the cell that has it, the first if several do.
    pub(super) fn minima(&self, a: &[f64], columns: usize) -> Vec<(f64, usize)> {
        let block = |b: usize| {
            let cells = self.block(b);
            let mut values = vec![0.0; cells.len() * columns];
            let x = &self.x[cells.start * self.m..cells.end * self.m];
            dispatch(Times { x, a, m: self.m, columns, out: &mut values });
            let mut out = vec![(f64::INFINITY, usize::MAX); columns];
            for (row, cell) in values.chunks_exact(columns).zip(cells) {
                for (out, &value) in out.iter_mut().zip(row) {
                    if value < out.0 {
                        *out = (value, cell);
                    }
                }
            }
            out
        };
        let better = |mut a: Vec<(f64, usize)>, b: Vec<(f64, usize)>| {
            a.iter_mut().zip(b).for_each(|(a, b)| {
                if b.0 < a.0 || (b.0 == a.0 && b.1 < a.1) {
                    *a = b
                }
            });
            a
        };
        let none = || vec![(f64::INFINITY, usize::MAX); columns];
        let n_blocks = self.len().div_ceil(BLOCK);
        if self.parallel {
            (0..n_blocks).into_par_iter().map(block).reduce(none, better)
        } else {
            (0..n_blocks).map(block).fold(none(), better)
        }
    }

    fn block(&self, b: usize) -> Range<usize> {
        b * BLOCK..((b + 1) * BLOCK).min(self.len())
    }
}

struct Times<'a> {
    x: &'a [f64],
    a: &'a [f64],
    m: usize,
    columns: usize,
    out: &'a mut [f64],
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, a, m, columns, out } = self;
        for (x, out) in x.chunks_exact(m).zip(out.chunks_exact_mut(columns)) {
            for (x, a) in x.iter().zip(a.chunks_exact(columns)) {
                for (out, a) in out.iter_mut().zip(a) {
                    *out += x * a;
                }
            }
        }
    }
}
